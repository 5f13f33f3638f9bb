"""Which cells a preset runs: grids of axes, expanded in order. Flags select among them; nothing else changes them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from attnbench import registry
from attnbench.errors import unknown_name
from attnbench.spec import tuning
from attnbench.spec.axes import Spec

ALL_VARIANTS: tuple[str, ...] = ()  # an empty choice stands for every registered variant
_OF_TRAINING = ("epochs", "lr", "lr_grid")  # axes of a task cell that a step of it does not have
CORE = ("softmax", "softmax_math", "orthogonal", "polynomial")
DECODING = ("softmax", "softmax_math", "polynomial")  # of these


@dataclass(frozen=True)
class Grid:
    """The product of some axes of the kernel or depth track, with the rest fixed. processes: how often each cell is measured, by seed."""

    track: str
    variants: tuple[str, ...]
    axes: Mapping[str, Sequence[Any]]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    processes: int = 1

    def specs(self, device: str, variants: tuple[str, ...] = ()) -> Iterator[Spec]:
        """Every spec, the processes varying slowest and then the last axis, so that cheap lengths and depths of all variants come first.

        With `variants` given, those take the place of the grid's own.
        """
        reverse = [("seed", range(self.processes)), *list(self.axes.items())[::-1]]
        for values in itertools.product(*(choices for _, choices in reverse)):
            chosen = dict(zip((name for name, _ in reverse), values, strict=True))
            for variant in variants or self.variants or registry.names("variants"):
                yield Spec(track=self.track, variant=variant, device=device, **self.fixed, **chosen)


@dataclass(frozen=True)
class TaskGrid:
    """Training on tasks, each in the sizes that it declares; and the time of a training step of every such model, alone.

    size:    "small", for two cores, or "large", for a GPU: which of a task's sizes.
    rates:   the learning rates to choose from, as multiples of the one that the task declares; none to take that as it is.
    layers:  depths; none to take the task's own.
    fixed:   axes that take the place of the task's.
    processes: how often each step is timed; 0 for not at all.
    """

    tasks: tuple[str, ...]
    variants: tuple[str, ...]
    seeds: int
    processes: int = 1
    size: str = "small"
    rates: tuple[float, ...] = ()
    layers: tuple[int, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def specs(self, device: str, variants: tuple[str, ...], tasks: Mapping[str, str]) -> Iterator[Spec]:
        """Every spec, of one task all variants with one seed after the other, so that what is compared is there early and in pairs.

        tasks: names or paths of files by the names that take the place of the grid's own.
        """
        for name, source in tasks.items():
            causal, *_ = registry.field("tasks", source, "causal", default=(False,))
            axes: dict[str, Any] = {**registry.field("tasks", source, self.size), "causal": causal, **self.fixed}
            if self.rates:
                axes |= {"lr": None, "lr_grid": tuning.grid(axes["lr"] * rate for rate in self.rates)}
            for layers, seed in itertools.product(self.layers or (axes["num_layers"],), range(self.seeds)):
                for variant in variants or self.variants or registry.names("variants"):
                    yield Spec(track="task", task=name, variant=variant, device=device, **{**axes, "num_layers": layers, "seed": seed})
            of_model = {axis: value for axis, value in axes.items() if axis not in _OF_TRAINING}
            for layers, seed in itertools.product(self.layers or (axes["num_layers"],), range(self.processes)):
                for variant in variants or self.variants or registry.names("variants"):
                    yield Spec(track="step", task=name, variant=variant, device=device, **{**of_model, "num_layers": layers, "seed": seed})


@dataclass(frozen=True)
class Preset:
    """A named set of grids. device: "cuda" for one that is sized for a GPU; one that is sized for a CPU fits everywhere."""

    summary: str
    grids: tuple[Grid | TaskGrid, ...]
    device: str = "cpu"

    def specs(self, device: str = "cpu", variants: tuple[str, ...] = (), tasks: Mapping[str, str] | None = None) -> list[Spec]:
        """Every spec of every grid, each once; those of the given variants and tasks alone, if any are given.

        Cells that are timed come first, all of process 0 before those of process 1, so that the processes of a cell lie far apart in
        time; then the tasks. Beside that they are in the order of the grids.

        tasks: names or paths of files, by name. One that no grid holds, a file for example, joins the first grid of tasks.
        """
        found: dict[str, Spec] = {}
        held = {name for grid in self.grids if isinstance(grid, TaskGrid) for name in grid.tasks}
        strangers = {name: source for name, source in (tasks or {}).items() if name not in held}
        for grid in self.grids:
            if isinstance(grid, TaskGrid):
                own = {name: (tasks or {}).get(name, name) for name in grid.tasks if not tasks or name in tasks}
                specs = grid.specs(device, variants, own | strangers)
                strangers = {}
            elif tasks:
                continue
            else:
                specs = grid.specs(device, variants)
            found |= {spec.key(): spec for spec in specs}
        return sorted(found.values(), key=lambda spec: (not spec.is_timed, spec.seed if spec.is_timed else 0))


_KERNEL = {"batch_size": 1, "num_heads": 4, "head_dim": 64}
_WIDE_KERNEL = {**_KERNEL, "head_dim": 128}
_BATCH = {**_KERNEL, "batch_size": 4}
_GROUPED_KERNEL = {"batch_size": 1, "num_heads": 32, "num_kv_heads": 8, "head_dim": 128}
_LARGE_KERNEL = {"batch_size": 4, "num_heads": 16, "head_dim": 64, "dtype": "bfloat16"}
_LARGE_GROUPED_KERNEL = {**_GROUPED_KERNEL, "dtype": "bfloat16"}
_PREFILL, _DECODE = {"mode": "prefill", "causal": True}, {"mode": "decode", "causal": True}
_DEPTH = {"batch_size": 4, "num_heads": 4, "head_dim": 16, "seq_len": 64, "mode": "training"}
_BOTH = {"mode": ("forward", "training")}
_STACKS = {"block": ("residual", "skipless"), "num_layers": (1, 4, 12)}
_RESIDUAL, _SKIPLESS = {"block": "residual"}, {"block": "skipless"}
# Chosen after one of three seeds of orthogonal, 12 layers deep, had ended at chance at 1e-3 in 8 epochs; both protocols' records are shown.
_DEEP_SKIPLESS = {**_SKIPLESS, "epochs": 10, "lr": 5e-4}
_UNSCALED = {"params": {"scale": 1.0}}
_DOUBLED = (256, 512, 1024, 2048, 4096, 8192, 16384)  # an exponent needs five lengths
_LENGTHS = (128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
_THRICE = 3  # processes: the fewest whose spread says something; another process gives times that differ by some 2 %

PAPERS = ("softmax", "orthogonal", "polynomial")
PEERS = (*PAPERS, "sigmoid", "linear_elu", "gated")
# The mechanisms that others are most often compared with or built on: of the efficient ones the four with which surveys begin (kernel
# features, random features, low rank, landmarks), cosine attention, which Swin V2 brought into wide use, and of those for today's language
# models the three with the most discussed papers. Chosen by what the field cites, before and regardless of how fast they are here.
CITED = ("linear_elu", "performer", "linformer", "nystrom", "cosine", "sigmoid", "differential", "gated")
RANKED = (*CORE, *CITED)
# Beside those, what only a causal table shows whole: softmax and its window, and the mechanisms with decays, gates and sticks.
CAUSAL = (
    "softmax", "sliding_window", "forgetting", "stick_breaking", "retention", "gla", "mamba2", "deltanet", "gated_deltanet"
)  # fmt: skip
GROUPED = ("softmax", "softmax_math", "orthogonal", "polynomial", "sliding_window")
CONTROLS = ("identity", "uniform")  # what a task gives without a choice of tokens
EMBEDDED = ("mnist", "fashion_mnist", "sotu_era", "sotu_mlm", "sotu_lm")
SYNTHETIC = ("mqar", "selective_copy", "listops", "pathfinder")

PRESETS = {
    "quick": Preset(
        "a first look and CI: four mechanisms, one process each, minutes on two cores",
        (
            Grid("kernel", CORE, {**_BOTH, "seq_len": (128, 256, 512, 1024, 2048)}, _KERNEL),
            Grid("kernel", DECODING, {"seq_len": (256, 1024)}, {**_KERNEL, **_DECODE}),
            Grid("depth", CORE, {"block": ("residual", "skipless"), "num_layers": (1, 2, 3, 4)}, _DEPTH),
            TaskGrid(("mnist",), CORE, seeds=1, fixed={**_RESIDUAL, "epochs": 2}),
            TaskGrid(("sotu_era",), CORE, seeds=1, fixed={**_RESIDUAL, "num_layers": 1, "epochs": 2}),
        ),
    ),
    "standard": Preset(
        "two cores: every mechanism's cost, twelve in three processes; six and two controls on six tasks, two rates, three seeds",
        (
            # The main lengths of all, then those between for the core, so that exponents can be had.
            Grid("kernel", ALL_VARIANTS, {**_BOTH, "seq_len": (256, 1024, 4096)}, _KERNEL),
            Grid("kernel", RANKED, {**_BOTH, "seq_len": (256, 1024, 4096)}, _KERNEL, _THRICE),
            Grid("kernel", CORE, {**_BOTH, "seq_len": (512, 2048)}, _KERNEL, _THRICE),
            Grid("kernel", PAPERS, {"seq_len": (8192, 16384)}, {**_KERNEL, "mode": "forward"}, _THRICE),
            Grid("kernel", CITED, {"seq_len": (16384,)}, {**_KERNEL, "mode": "forward"}),
            # Decoding, prompts, and causal passes; mechanisms without the form are skipped.
            Grid("kernel", ALL_VARIANTS, {"seq_len": (1024, 16384)}, {**_KERNEL, **_DECODE}),
            Grid("kernel", RANKED, {"seq_len": (1024, 16384)}, {**_KERNEL, **_DECODE}, _THRICE),
            Grid("kernel", ALL_VARIANTS, {"seq_len": (1024,)}, {**_KERNEL, **_PREFILL}),
            Grid("kernel", RANKED, {"seq_len": (4096,)}, {**_KERNEL, **_PREFILL}),
            Grid("kernel", ALL_VARIANTS, {**_BOTH, "seq_len": (1024,)}, {**_KERNEL, "causal": True}),
            Grid("kernel", RANKED, {**_BOTH, "seq_len": (1024,)}, {**_KERNEL, "causal": True}, _THRICE),
            Grid("kernel", RANKED, {"seq_len": (4096,)}, {**_KERNEL, "mode": "training", "causal": True}),
            Grid("kernel", CAUSAL, {**_BOTH, "seq_len": (256, 4096)}, {**_KERNEL, "causal": True}),
            # Grouped queries, of 32 heads over 8; mechanisms without them are not asked.
            Grid("kernel", GROUPED, _BOTH, {**_GROUPED_KERNEL, "seq_len": 1024}),
            Grid("kernel", GROUPED, {"seq_len": (4096,)}, {**_GROUPED_KERNEL, **_DECODE}),
            # A third of a batch is padding, against the same batch without; wider heads; a shorter dtype.
            Grid("kernel", CORE, {**_BOTH, "padded": (0.0, 0.33)}, {**_BATCH, "seq_len": 1024}, _THRICE),
            Grid("kernel", CITED, {"padded": (0.0, 0.33)}, {**_BATCH, "seq_len": 1024, "mode": "forward"}),
            Grid("kernel", CORE, _BOTH, {**_WIDE_KERNEL, "seq_len": 2048}, _THRICE),
            Grid("kernel", CORE, _BOTH, {**_KERNEL, "seq_len": 2048, "dtype": "bfloat16"}, _THRICE),
            Grid("depth", ALL_VARIANTS, _STACKS, _DEPTH),
            Grid("depth", RANKED, _STACKS, _DEPTH, _THRICE),
            Grid("depth", CAUSAL, _STACKS, {**_DEPTH, "causal": True}),
            TaskGrid((*EMBEDDED, "mqar"), (*PEERS, *CONTROLS), 3, _THRICE, rates=(1 / 3, 1.0), fixed={**_RESIDUAL, "num_layers": 2}),
            TaskGrid(("mnist",), PAPERS, seeds=3, processes=_THRICE, rates=(0.5, 1.0), layers=(12, 6), fixed=_DEEP_SKIPLESS),
        ),
    ),
    "claims": Preset(
        "two cores: what the papers' claims rest on, in three processes and with three seeds throughout, and nothing else",
        (
            Grid("kernel", ("softmax", "orthogonal"), {**_BOTH, "seq_len": _DOUBLED}, _KERNEL, _THRICE),
            Grid("kernel", ("polynomial",), {"seq_len": (256, 1024, 4096)}, {**_KERNEL, "mode": "forward"}, _THRICE),
            Grid("kernel", ("polynomial",), {"seq_len": (256, 1024, 4096)}, {**_KERNEL, "mode": "forward", **_UNSCALED}, _THRICE),
            Grid("depth", PAPERS, _STACKS, _DEPTH, _THRICE),
            TaskGrid(EMBEDDED, ("softmax", "polynomial"), seeds=3, processes=0, rates=(1 / 3, 1.0), fixed={**_RESIDUAL, "num_layers": 2}),
            TaskGrid(("mnist",), ("softmax", "orthogonal"), seeds=3, processes=0, rates=(0.5, 1.0), layers=(12, 6), fixed=_DEEP_SKIPLESS),
            TaskGrid(("mnist",), ("softmax",), seeds=3, processes=0, rates=(1 / 3, 1.0), layers=(12, 6), fixed={**_RESIDUAL, "epochs": 10}),
        ),
    ),
    "full": Preset(
        "one large GPU, in pieces: every mechanism, long sequences, three processes, five seeds, deep stacks",
        (
            Grid("kernel", ALL_VARIANTS, {"causal": (False, True), **_BOTH, "seq_len": _LENGTHS}, _LARGE_KERNEL, _THRICE),
            Grid("kernel", ALL_VARIANTS, {"seq_len": (1024, 4096, 16384, 65536)}, {**_LARGE_KERNEL, **_DECODE}, _THRICE),
            Grid("kernel", ALL_VARIANTS, {"seq_len": (1024, 4096, 16384, 65536)}, {**_LARGE_KERNEL, **_PREFILL}),
            Grid("kernel", GROUPED, {"causal": (False, True), **_BOTH, "seq_len": _LENGTHS}, _LARGE_GROUPED_KERNEL, _THRICE),
            Grid("depth", ALL_VARIANTS, {"block": ("residual", "skipless"), "num_layers": (1, 2, 4, 8, 12, 16, 32, 64)}, _DEPTH),
            TaskGrid(
                (*EMBEDDED, "digits", *SYNTHETIC), ALL_VARIANTS, seeds=5, processes=_THRICE, size="large",
                rates=(1 / 9, 1 / 3, 1.0, 3.0),
                fixed={**_RESIDUAL, "dtype": "bfloat16"},
            ),
            TaskGrid(
                ("mnist", "fashion_mnist", "sotu_mlm"), ALL_VARIANTS, seeds=5, processes=_THRICE, size="large",
                rates=(1 / 9, 1 / 3, 1.0, 3.0),
                layers=(6, 12, 24), fixed={**_SKIPLESS, "dtype": "bfloat16"},
            ),
        ),
        device="cuda",
    ),
}  # fmt: skip


def fitting(has_cuda: bool) -> list[str]:
    """The names of the presets that suit a machine with or without a GPU."""
    return [name for name, preset in PRESETS.items() if has_cuda or preset.device == "cpu"]


def load(name: str) -> Preset:
    """A preset by name.

    Raises BadInput for an unknown one.
    """
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS, "attnbench list presets")
    return PRESETS[name]
