"""Groups of records that may be shown in one table, and the axes on which groups differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from attnbench.analysis.labels import USUAL, epochs_text, rate_text, threads_text
from attnbench.analysis.settings import SETTING, machine_of
from attnbench.spec.axes import Spec
from attnbench.spec.protocol import FIRST
from attnbench.store.facts import ALONE
from attnbench.store.ran_on import ran_on
from attnbench.store.record import Record

OLD = "old"  # the value of the axis timing for records that do not name their rule


@dataclass(frozen=True)
class Axis:
    """One axis on which groups differ: its name, its value in links, and its value as readers see it.

    usual: whether it is the value that goes without saying, which titles leave out.
    """

    name: str
    value: str
    label: str
    usual: bool = False


@dataclass(frozen=True)
class Group:
    """Records of one track that may be shown in one table: same machine, device, dtype, masking and shape."""

    axes: tuple[Axis, ...]
    records: tuple[Record, ...]

    @property
    def name(self) -> str:
        """The name of the file that holds its views, and those of other stacks and recipes of the same task."""
        return chunk_name(self.records[0].spec.track, self.axes)

    @property
    def device(self) -> tuple[Axis, ...]:
        """The axes that all tracks share: hardware, device, threads with the GPU, dtype and torch."""
        return tuple(axis for axis in self.axes if axis.name in BENCH_AXES)

    @property
    def machine(self) -> str:
        """The machine that measured them, or "any x86_64" of training runs that count for all of an architecture."""
        return machine_of(self.records[0])

    @cached_property
    def by_variant(self) -> Mapping[str, Sequence[Record]]:
        """The records of the group, by variant."""
        return by_variant(self.records)

    @cached_property
    def title(self) -> str:
        """The setting in one line."""
        return ", ".join(axis.label for axis in self.axes if not axis.usual)

    @property
    def is_history(self) -> bool:
        """Whether it was measured by a rule, or trained by a protocol, before the present one: kept, and shown apart from the others."""
        return any((axis.name, axis.value) in (("timing", OLD), ("protocol", FIRST.name)) for axis in self.axes)

    @property
    def variants(self) -> set[str]:
        """The variants that have a number here."""
        return {record.spec.variant for record in self.records if record.status == "ok"}


def by_variant(records: Iterable[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.spec.variant, []).append(record)
    return found


def chunk_name(track: str, axes: Iterable[Axis]) -> str:
    """The name of the file of a group's views; groups of a track that differ only in block, depth, mode or recipe share one."""
    told = [axis.value for axis in axes if axis.name not in ("block", "num_layers", "recipe", "mode")]
    return f"{track}-{hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]}"


def axes(record: Record) -> tuple[Axis, ...]:
    """The axes of a record's group, which must be equal for two results to be shown in one table: those of SETTING without CHOSEN."""
    return tuple(Axis(name, *_SHOWN.get(name, _as_it_is)(record, name)) for name in PAGE_AXES[record.spec.track])


def mode_axis(mode: str) -> Axis:
    """The axis of a mode."""
    return Axis("mode", mode, MODES[mode])


def page_axis(track: str, axis: str) -> str:
    """The axis of the pages that shows an axis of SETTING, alone or together with others."""
    return _TOGETHER[track].get(axis) or _TOGETHER["all"].get(axis) or axis


def recipe(spec: Spec) -> tuple[str, ...]:
    """How a task's model was trained, as texts; their number is the same for all records of one dtype."""
    precision = ("mixed precision",) if spec.dtype == "bfloat16" else ()
    return (epochs_text(spec), rate_text(spec), f"batch {spec.batch_size}", spec.heads_label(), *precision)


def _task_label(task: str | None, data: str | None) -> str:
    return f"{task}" + (f" ({data})" if data else "")


Shown = tuple[str, str] | tuple[str, str, bool]  # a value in links, as readers see it, and whether it goes without saying


def _as_it_is(record: Record, axis: str) -> Shown:
    value = str(getattr(record.spec, axis))
    return value, value


def _hardware(record: Record, axis: str) -> Shown:
    machine = machine_of(record)
    return machine.replace(" ", "-"), machine


def _threads(record: Record, axis: str) -> Shown:
    part = ran_on(record.spec.device, record.environment)
    told = ", ".join(filter(None, (part.gpu, threads_text(part.threads))))
    return told.replace(", ", ".").replace(" ", "-"), told or "threads unknown"


def _torch(record: Record, axis: str) -> Shown:
    version = str(record.environment.get("torch"))
    return version, f"torch {version}"


def _causal(record: Record, axis: str) -> Shown:
    return ("yes", "causal") if record.spec.causal else ("no", "bidirectional")


def _timing(record: Record, axis: str) -> Shown:
    rule = record.environment.get("timing")
    if rule == ALONE:
        return ALONE, "timed alone, by pytest-benchmark"
    return (rule, f"{rule} rounds", True) if isinstance(rule, str) and rule else (OLD, "old timing, kept as history")


def _padded(record: Record, axis: str) -> Shown:
    share = record.spec.padded
    return (f"{share:g}", f"{100 * share:.3g} % of the tokens padding") if share else ("0", "no padding", True)


def _task(record: Record, axis: str) -> Shown:
    s = record.spec
    return ".".join(filter(None, (s.task, s.difficulty, s.data))).replace(", ", ".").replace(" ", "-"), _task_label(s.task_label(), s.data)


def _num_layers(record: Record, axis: str) -> Shown:
    return str(record.spec.num_layers), record.spec.depth_label()


def _shape(record: Record, axis: str) -> Shown:
    s = record.spec
    heads = f"{s.num_heads}" if s.num_kv_heads is None else f"{s.num_heads}-{s.num_kv_heads}"
    value, label = f"{s.batch_size}x{heads}x{s.head_dim}", f"batch {s.batch_size}, {s.heads_label()}"
    return (f"{value}x{s.seq_len}", f"{label}, seq_len {s.seq_len}") if s.track == "depth" else (value, label)


def _token_shift(record: Record, axis: str) -> Shown:
    return ("yes", "token shift before Q, K and V") if record.spec.token_shift else ("no", "no token shift", True)


def _init_norm(record: Record, axis: str) -> Shown:
    factor = record.spec.init_norm
    return (str(factor), f"W_Q and W_K times {factor:g} at the start") if factor != 1 else ("1", "W_Q and W_K as they start", True)


def _positions(record: Record, axis: str) -> Shown:
    positions = record.spec.positions
    return positions, f"{positions} positions" if positions != "none" else "no positions", positions == "learned"


def _weight_decay(record: Record, axis: str) -> Shown:
    decay = record.spec.weight_decay
    return f"{decay:g}", f"weight decay {decay:g}", decay == USUAL["weight_decay"]


def _test_seq_len(record: Record, axis: str) -> Shown:
    longest = record.spec.test_seq_len
    return (str(longest), f"tested on up to {longest:,} tokens") if longest else ("own", "tested as trained", True)


def _protocol(record: Record, axis: str) -> Shown:
    name = record.spec.protocol
    return name, f"protocol {name}" + (", kept as history" if name == FIRST.name else "")


def _recipe(record: Record, axis: str) -> Shown:
    told = recipe(record.spec)
    return ".".join(told).replace(", ", ".").replace(" ", "-"), ", ".join(told)


# The axes of SETTING that are shown together, with the name of the common axis; every other axis is shown by itself.
_SHAPE, _RECIPE = ("batch_size", "num_heads", "head_dim"), ("batch_size", "num_heads", "head_dim", "epochs", "rate")
_TOGETHER: Mapping[str, Mapping[str, str]] = {
    "all": {"machine": "hardware", "gpu": "threads", "data": "task", "task_params": "task"},
    "kernel": dict.fromkeys((*_SHAPE, "num_kv_heads"), "shape"),
    "depth": dict.fromkeys((*_SHAPE, "seq_len"), "shape"),
    "task": dict.fromkeys(_RECIPE, "recipe"),
    "step": dict.fromkeys(_SHAPE, "shape"),
}
_SHOWN: Mapping[str, Callable[[Record, str], Shown]] = {
    "hardware": _hardware, "threads": _threads, "torch": _torch, "causal": _causal, "task": _task, "num_layers": _num_layers,
    "shape": _shape, "recipe": _recipe, "timing": _timing, "padded": _padded,
    "token_shift": _token_shift, "init_norm": _init_norm, "positions": _positions, "weight_decay": _weight_decay,
    "test_seq_len": _test_seq_len, "protocol": _protocol,
}  # fmt: skip
BENCH_AXES = ("hardware", "device", "threads", "dtype", "torch")
# The modes in the order of the pages, each with what it is.
MODES: Mapping[str, str] = {
    "training": "training (forward and backward)", "forward": "forward", "prefill": "prefill (a prompt, and the state it leaves)",
    "decode": "decode (one token more)",
}  # fmt: skip
# The axes of SETTING on which the views of one group differ.
CHOSEN: Mapping[str, tuple[str, ...]] = {
    "kernel": ("mode", "seq_len"), "depth": ("block", "num_layers"), "task": (), "step": ("mode",),
}  # fmt: skip
# The axes of a group by track, in the order of SETTING, except that the recipe is last.
PAGE_AXES: Mapping[str, tuple[str, ...]] = {
    track: tuple(sorted(dict.fromkeys(page_axis(track, a) for a in setting if a not in CHOSEN[track]), key="recipe".__eq__))
    for track, setting in SETTING.items()
}
