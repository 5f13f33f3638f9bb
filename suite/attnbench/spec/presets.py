"""Which cells a preset runs: grids of axes, expanded in order. Flags select among them; nothing else changes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from attnbench.errors import unknown_name
from attnbench.spec import learning_grids
from attnbench.spec.axes import Spec
from attnbench.spec.grids import ALL_VARIANTS, Grid, Posed, TaskGrid
from attnbench.spec.learning_grids import EMBEDDED, PATCHES_196, RECALL, RESIDUAL, SKIPLESS
from attnbench.spec.pilot import PilotGrid
from attnbench.spec.protocol import NEWEST, Protocol

CORE = ("softmax", "softmax_math", "orthogonal", "polynomial")
DECODING = ("softmax", "softmax_math", "polynomial")  # of these


@dataclass(frozen=True)
class Preset:
    """A named set of grids. device: "cuda" for one that is sized for a GPU; one that is sized for a CPU fits everywhere. protocol: of its
    training runs."""

    summary: str
    grids: tuple[Grid | TaskGrid | PilotGrid, ...]
    device: str = "cpu"
    protocol: Protocol = NEWEST

    def specs(self, device: str = "cpu", variants: tuple[str, ...] = (), tasks: Mapping[str, str] | None = None) -> list[Spec]:
        """Every spec of every grid, each once; those of the given variants and tasks alone, if any are given.

        Cells that are timed come first, all of process 0 before those of process 1, so that the processes of a cell lie far apart in
        time; then the tasks. Beside that they are in the order of the grids.

        tasks: names or paths of files, by name. One that no grid holds, a file for example, joins the first grid of tasks.
        """
        found: dict[str, Spec] = {}
        held = {name for grid in self.grids if not isinstance(grid, Grid) for name in grid.names}
        strangers = {name: source for name, source in (tasks or {}).items() if name not in held}
        for grid in self.grids:
            if not isinstance(grid, Grid):
                own = {name: (tasks or {}).get(name, name) for name in sorted(grid.names) if not tasks or name in tasks}
                specs = grid.specs(device, variants, own | strangers, self.protocol)
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
_UNSCALED = {"params": {"scale": 1.0}}
_DOUBLED = (256, 512, 1024, 2048, 4096, 8192, 16384)  # an exponent needs five lengths
_LENGTHS = (128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
_THRICE = 3  # processes: the fewest whose spread says something; another process gives times that differ by some 2 %

PAPERS = ("softmax", "orthogonal", "polynomial")
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
# For a GPU: sequences of 784 patches and 4,096 bytes.
_LONG = (Posed("mnist", {"patch": 1}), Posed("fashion_mnist", {"patch": 1}), Posed("sotu_era", {"unit": "bytes"}))

PILOT = "pilot"
PRESETS = {
    "quick": Preset(
        "a first look and CI: four mechanisms, one process each, minutes on two cores",
        (
            Grid("kernel", CORE, {**_BOTH, "seq_len": (128, 256, 512, 1024, 2048)}, _KERNEL),
            Grid("kernel", DECODING, {"seq_len": (256, 1024)}, {**_KERNEL, **_DECODE}),
            Grid("depth", CORE, {"block": ("residual", "skipless"), "num_layers": (1, 2, 3, 4)}, _DEPTH),
            TaskGrid(("mnist",), CORE, seeds=1, fixed={**RESIDUAL, "epochs": 2}),
            TaskGrid(("sotu_era",), CORE, seeds=1, fixed={**RESIDUAL, "num_layers": 1, "epochs": 2}),
        ),
    ),
    "standard": Preset(
        "two cores: every mechanism's cost, twelve in three processes; four and two controls on three tasks, tuned, five seeds",
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
            learning_grids.STANDARD,
        ),
    ),
    "claims": Preset(
        "two cores: what the papers' claims rest on, costs in three processes, tuned runs with eight seeds, also at twice the budgets",
        (
            Grid("kernel", ("softmax", "orthogonal"), {**_BOTH, "seq_len": _DOUBLED}, _KERNEL, _THRICE),
            Grid("kernel", ("polynomial",), {"seq_len": (256, 1024, 4096)}, {**_KERNEL, "mode": "forward"}, _THRICE),
            Grid("kernel", ("polynomial",), {"seq_len": (256, 1024, 4096)}, {**_KERNEL, "mode": "forward", **_UNSCALED}, _THRICE),
            Grid("depth", PAPERS, _STACKS, _DEPTH, _THRICE),
            *learning_grids.CLAIMS,
        ),
    ),
    PILOT: Preset(
        "two cores: softmax alone with doubled budgets, by which the budget of every task is chosen", (learning_grids.PILOTED,)
    ),
    "reference": Preset(
        "two cores: eight arms on six tasks, tuned, five seeds, at parts of budgets too; softmax, polynomials and controls on 196 patches",
        learning_grids.REFERENCE,
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
                (*EMBEDDED, *PATCHES_196, *_LONG, "digits", *RECALL), ALL_VARIANTS, seeds=5, processes=_THRICE, size="large", tuned=True,
                both_forms=True, fixed={**RESIDUAL, "dtype": "bfloat16"},
            ),
            TaskGrid(
                ("mnist", "fashion_mnist", "sotu_mlm"), ALL_VARIANTS, seeds=5, processes=_THRICE, size="large", tuned=True,
                layers=(6, 12, 24), fixed={**SKIPLESS, "dtype": "bfloat16"},
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
