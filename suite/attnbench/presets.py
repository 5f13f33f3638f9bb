"""Which cells a preset runs: grids of axes, expanded in order. Flags select among them; nothing else changes them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from attnbench import registry
from attnbench.errors import unknown_name
from attnbench.spec import Spec

ALL_VARIANTS: tuple[str, ...] = ()  # an empty choice stands for every registered variant
CORE = ("softmax", "softmax_math", "orthogonal", "polynomial")


@dataclass(frozen=True)
class Grid:
    """The product of some axes, with the rest fixed."""

    track: str
    variants: tuple[str, ...]
    axes: Mapping[str, Sequence[Any]]
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def specs(self, device: str, variants: tuple[str, ...] = ()) -> Iterator[Spec]:
        """Every spec, the last axis varying slowest, so that the cheap lengths and depths of all variants come first.

        With `variants` given, those take the place of the grid's own.
        """
        reverse = list(self.axes.items())[::-1]
        for values in itertools.product(*(choices for _, choices in reverse)):
            chosen = dict(zip((name for name, _ in reverse), values, strict=True))
            for variant in variants or self.variants or registry.names("variants"):
                yield Spec(track=self.track, variant=variant, device=device, **self.fixed, **chosen)


@dataclass(frozen=True)
class Preset:
    """A named set of grids."""

    summary: str
    grids: tuple[Grid, ...]

    def specs(self, device: str = "cpu", variants: tuple[str, ...] = ()) -> list[Spec]:
        """Every spec of every grid, in order, each once."""
        return list({spec.key(): spec for grid in self.grids for spec in grid.specs(device, variants)}.values())


_KERNEL = {"batch_size": 1, "num_heads": 4, "head_dim": 64}
_LARGE_KERNEL = {"batch_size": 4, "num_heads": 16, "head_dim": 64, "dtype": "bfloat16"}
_DECODE = {"mode": "decode", "causal": True}
_DEPTH = {"batch_size": 4, "num_heads": 4, "head_dim": 16, "seq_len": 64, "mode": "training"}
_MNIST = {"task": "mnist", "batch_size": 64, "num_heads": 4, "head_dim": 16, "lr": 3e-3}
_SOTU_ERA = {"task": "sotu_era", "batch_size": 64, "num_heads": 4, "head_dim": 16, "lr": 5e-3}
_RESIDUAL, _SKIPLESS = {"block": "residual"}, {"block": "skipless"}

PRESETS = {
    "quick": Preset(
        "a first look and CI: four mechanisms, minutes on two cores",
        (
            Grid("kernel", CORE, {"mode": ("forward", "training"), "seq_len": (256, 512, 1024, 2048, 4096)}, _KERNEL),
            Grid("depth", CORE, {"block": ("residual", "skipless"), "num_layers": (1, 2, 4, 8)}, _DEPTH),
            Grid("task", CORE, {"seed": (0,)}, {**_MNIST, **_RESIDUAL, "num_layers": 2, "epochs": 4}),
            Grid("task", CORE, {"seed": (0,)}, {**_SOTU_ERA, **_RESIDUAL, "num_layers": 1, "epochs": 2}),
        ),
    ),
    "standard": Preset(
        "every mechanism on two cores: longer sequences, three seeds, residual and skipless",
        (
            Grid(
                "kernel",
                ALL_VARIANTS,
                {"mode": ("forward", "training"), "seq_len": (128, 256, 512, 1024, 2048, 4096, 8192, 16384)},
                _KERNEL,
            ),
            Grid("kernel", ALL_VARIANTS, {"seq_len": (256, 1024, 4096, 16384)}, {**_KERNEL, **_DECODE}),
            Grid("depth", ALL_VARIANTS, {"block": ("residual", "skipless"), "num_layers": (1, 2, 4, 8, 16)}, _DEPTH),
            Grid("task", ALL_VARIANTS, {"seed": (0, 1, 2)}, {**_MNIST, **_RESIDUAL, "num_layers": 2, "epochs": 6}),
            Grid("task", ALL_VARIANTS, {"seed": (0, 1, 2)}, {**_SOTU_ERA, **_RESIDUAL, "num_layers": 1, "epochs": 3}),
            Grid("task", CORE, {"seed": (0, 1, 2)}, {**_MNIST, **_SKIPLESS, "num_layers": 6, "epochs": 6}),
        ),
    ),
    "full": Preset(
        "one large GPU: every mechanism, long sequences, five seeds, deep stacks",
        (
            Grid(
                "kernel",
                ALL_VARIANTS,
                {
                    "causal": (False, True),
                    "mode": ("forward", "training"),
                    "seq_len": (128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536),
                },
                _LARGE_KERNEL,
            ),
            Grid("kernel", ALL_VARIANTS, {"seq_len": (1024, 4096, 16384, 65536)}, {**_LARGE_KERNEL, **_DECODE}),
            Grid("depth", ALL_VARIANTS, {"block": ("residual", "skipless"), "num_layers": (1, 2, 4, 8, 16, 32, 64)}, _DEPTH),
            Grid("task", ALL_VARIANTS, {"seed": (0, 1, 2, 3, 4)}, {**_MNIST, **_RESIDUAL, "num_layers": 6, "epochs": 20}),
            Grid("task", ALL_VARIANTS, {"seed": (0, 1, 2, 3, 4)}, {**_SOTU_ERA, **_RESIDUAL, "num_layers": 4, "epochs": 6}),
            Grid(
                "task",
                ALL_VARIANTS,
                {"num_layers": (6, 12, 24), "seed": (0, 1, 2, 3, 4)},
                {**_MNIST, **_SKIPLESS, "epochs": 20, "lr": 1e-3},
            ),
        ),
    ),
}


def load(name: str) -> Preset:
    """A preset by name.

    Raises BadInput for an unknown one.
    """
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS, "attnbench list presets")
    return PRESETS[name]
