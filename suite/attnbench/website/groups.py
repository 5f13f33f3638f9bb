"""Groups of records that may stand in one table, and the axes on which they are told apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from operator import attrgetter

from attnbench.analysis.labels import canonical
from attnbench.spec.axes import Spec
from attnbench.store.record import Origin, Record

cell_but_params = attrgetter(*(f.name for f in fields(Spec) if f.name != "params"))
_but_seed = attrgetter(*(f.name for f in fields(Spec) if f.name not in ("seed", "params")))


@dataclass(frozen=True)
class Axis:
    """One axis on which results are told apart: its name, its value in links, and its value for people."""

    name: str
    value: str
    label: str


@dataclass(frozen=True)
class Group:
    """Records of one track that may stand in one table: same machine, device, dtype, masking and shape."""

    axes: tuple[Axis, ...]
    records: tuple[Record, ...]

    @property
    def name(self) -> str:
        """A name for the file that holds its views, together with those of other stacks and recipes of the same task."""
        return chunk_name(self.records[0].spec.track, self.axes)

    @property
    def device(self) -> tuple[Axis, ...]:
        """What ties tracks together: hardware, dtype and software."""
        return tuple(axis for axis in self.axes if axis.name in ("hardware", "device", "dtype", "torch"))

    @property
    def machine(self) -> str:
        """Where they were measured."""
        return self.records[0].machine

    @cached_property
    def by_variant(self) -> Mapping[str, Sequence[Record]]:
        """The records of every mechanism that has any here."""
        return by_variant(self.records)

    @cached_property
    def title(self) -> str:
        """The setting in one line."""
        return ", ".join(axis.label for axis in self.axes)

    @property
    def variants(self) -> set[str]:
        """Mechanisms that gave a number here."""
        return {record.spec.variant for record in self.records if record.status == "ok"}


def by_variant(records: Iterable[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.spec.variant, []).append(record)
    return found


def chunk_name(track: str, axes: Iterable[Axis]) -> str:
    """The same for all groups of a track that differ in block, depth, mode or recipe alone."""
    told = [axis.value for axis in axes if axis.name not in ("block", "num_layers", "recipe", "mode")]
    return f"{track}-{hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]}"


def pooled(records: Iterable[Record]) -> list[Record]:
    """The records of costs with those of several seeds of one cell as one, which holds the samples of all that gave a number.

    Its place is that of the first. Where one failed it is that one as it stands: a mechanism one of whose seeds failed has no rank.
    """
    found: dict[tuple[str, object, str], list[Record]] = {}
    for record in records:
        found.setdefault((record.machine, _but_seed(record.spec), canonical(record.spec.params)), []).append(record)
    return [next((record for record in of if record.status != "ok"), None) or _as_one(of) for of in found.values()]


def _as_one(records: Sequence[Record]) -> Record:
    if len(records) == 1:
        return records[0]
    metrics = dict.fromkeys(metric for record in records for metric in record.measurements)
    samples = {metric: [x for record in records for x in record.measurements.get(metric, ())] for metric in metrics}
    return replace(records[0], measurements=samples, origin=least_trusted(records))


def least_trusted(records: Iterable[Record]) -> Origin:
    """Where the least trusted of some records comes from: no more than that can be said of them together."""
    return min((record.origin for record in records), key=lambda origin: origin.trust == "rerun")


def axes(record: Record) -> tuple[Axis, ...]:
    """What must be equal for two results of a track to stand side by side."""
    s = record.spec
    shape = f"batch {s.batch_size}, {s.num_heads} heads of {s.head_dim}"
    shared = [
        Axis("hardware", record.machine, record.machine),
        Axis("device", s.device, s.device),
        Axis("dtype", s.dtype, s.dtype),
        Axis("torch", str(record.environment.get("torch")), f"torch {record.environment.get('torch')}"),
        Axis("causal", "yes" if s.causal else "no", "causal" if s.causal else "bidirectional"),
    ]
    if s.track == "task":
        shared.append(Axis("task", f"{s.task}.{s.data}", _task_label(s.task, s.data)))
        shared += [Axis("block", str(s.block), str(s.block)), Axis("num_layers", str(s.num_layers), s.depth_label())]
        told = recipe(s)
        return (*shared, Axis("recipe", ".".join(told).replace(", ", ".").replace(" ", "-"), ", ".join(told)))
    if s.track == "depth":
        shared.append(Axis("shape", f"{s.batch_size}x{s.num_heads}x{s.head_dim}x{s.seq_len}", f"{shape}, seq_len {s.seq_len}"))
        return (*shared, Axis("mode", s.mode, s.mode))
    return (*shared, Axis("shape", f"{s.batch_size}x{s.num_heads}x{s.head_dim}", shape))


def recipe(spec: Spec) -> tuple[str, ...]:
    """How a task's model was trained, in words; as many for all of one dtype."""
    precision = ("mixed precision",) if spec.dtype == "bfloat16" else ()
    return (epochs(spec), rate(spec), f"batch {spec.batch_size}", f"{spec.num_heads} heads of {spec.head_dim}", *precision)


def epochs(spec: Spec) -> str:
    """How long a model was trained."""
    return f"{spec.epochs} epoch{'' if spec.epochs == 1 else 's'}"


def rate(spec: Spec) -> str:
    """The learning rate; where it was chosen the rates that it was chosen from, for every mechanism by itself."""
    return f"lr {spec.lr:g}" if spec.lr_grid is None else f"lr tuned of {', '.join(spec.lr_grid.split())}"


def _task_label(task: str | None, data: str | None) -> str:
    return f"{task}" + (f" ({data})" if data else "")
