"""Records as the pages want them: the newest of each cell, in one order, grouped so that only like is set beside like."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

from attnbench.attention import Variant
from attnbench.drift import Drifts
from attnbench.frame import frame, newest
from attnbench.labels import Labels, canonical
from attnbench.record import Record
from attnbench.render.palette import Style, assign
from attnbench.render.standings import Standings
from attnbench.spec import TRACKS, Spec
from attnbench.stats import Interval, mean_interval, median_interval, within

if TYPE_CHECKING:
    import pandas as pd

_but_seed = attrgetter(*(f.name for f in fields(Spec) if f.name not in ("seed", "params")))

BASELINE = "softmax"
LARGEST = 1e150  # nothing measured is larger, and ratios of what is smaller stay finite
STATUS_WORDS = {"oom": "out of memory", "error": "error", "incorrect": "incorrect", "timeout": "timeout"}


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
        return _by_variant(self.records)

    @cached_property
    def title(self) -> str:
        """The setting in one line."""
        return ", ".join(axis.label for axis in self.axes)

    @property
    def variants(self) -> set[str]:
        """Mechanisms that gave a number here."""
        return {record.spec.variant for record in self.records if record.status == "ok"}


class Results:
    """All records of a store, with the declarations of the variants that are registered here.

    The order in which records come does not matter. first: the machine whose groups come first, if any.
    """

    def __init__(
        self, records: Iterable[Record], declared: Mapping[str, Variant], shipped: Iterable[str] = (), first: str | None = None
    ) -> None:
        self._first = first
        ordered = _by_start(records)
        self.sessions = ordered
        self.records = sorted(newest(ordered), key=_order)
        self.declared = declared
        self.drifts = Drifts(ordered)
        self._flags = self.drifts.flags()
        families = {name: variant.family for name, variant in declared.items()}
        families = {**{r.spec.variant: "other" for r in self.records}, **families}
        self.styles: dict[str, Style] = assign(families, shipped)
        self.charts: dict[object, Any] = {}  # that stand on several pages
        self._label_of: dict[tuple[str, str], str] = {}
        self._groups: dict[str, list[Group]] = {}

    @cached_property
    def table(self) -> pd.DataFrame:
        """All records as a frame, training curves included."""
        return frame(self.sessions, curves=True)

    @cached_property
    def standings(self) -> Standings:
        """What the statistics say."""
        return Standings(self.table, self._labels)

    @cached_property
    def style_of_label(self) -> dict[str, Style]:
        """The style of every mechanism by its label."""
        return {self.label(record): self.styles[record.spec.variant] for record in self.records}

    @cached_property
    def by_variant(self) -> Mapping[str, Sequence[Record]]:
        """The newest records of every mechanism."""
        return _by_variant(self.records)

    @cached_property
    def variants(self) -> list[str]:
        """Every recorded variant."""
        return sorted(self.by_variant)

    @cached_property
    def _labels(self) -> Labels:
        return Labels(
            ((r.spec.variant, r.spec.params) for r in self.sessions), {name: variant.params for name, variant in self.declared.items()}
        )

    def label(self, record: Record) -> str:
        """The variant's name, with the parameters that differ from its defaults."""
        params = record.spec.params
        key = record.spec.variant, canonical(params) if params else ""
        if key not in self._label_of:
            self._label_of[key] = self._labels.label(record.spec.variant, params)
        return self._label_of[key]

    def flag(self, record: Record) -> str | None:
        """Why the times of a record do not rank; None if they do."""
        return self._flags.get((record.machine, record.session))

    def groups(self, track: str) -> list[Group]:
        """The groups of a track, of the first machine, then with most variants and most results. Tuning trials, no results, are in none."""
        if track not in self._groups:
            found: dict[tuple[Axis, ...], list[Record]] = {}
            for record in self.records:
                if record.spec.track == track and not is_trial(record):
                    found.setdefault(axes(record), []).append(record)
            groups = [Group(key, tuple(records if track == "task" else pooled(records))) for key, records in found.items()]
            self._groups[track] = sorted(
                groups, key=lambda g: (g.machine != self._first, -len(g.variants), -len(g.records), tuple(a.value for a in g.axes))
            )
        return self._groups[track]


def _by_variant(records: Iterable[Record]) -> dict[str, list[Record]]:
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
    return replace(records[0], measurements=samples)


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


def rates(records: Iterable[Record]) -> str:
    """The rates that some records were trained at, smallest first; none where none could be tried."""
    return ", ".join(f"{lr:g}" for lr in sorted({r.spec.lr for r in records if r.spec.lr is not None})) or "–"


def is_trial(record: Record) -> bool:
    """Whether a record is one of those that a learning rate was chosen by: it has no test result."""
    return record.spec.evaluate == "validation"


def values(record: Record, metric: str) -> list[float]:
    """The samples of a metric that can be a measurement; empty when the cell has none."""
    return [x for x in record.measurements.get(metric, ()) if abs(x) < LARGEST]


def positive(record: Record, metric: str) -> Interval | None:
    """Median and interval of a positive metric (a time, a size); None when the cell did not give one."""
    samples = values(record, metric)
    return median_interval(samples) if record.status == "ok" and samples and min(samples) > 1 / LARGEST else None


def single(record: Record, metric: str) -> float | None:
    """A metric as one number: its mean over layers where it has several."""
    samples = values(record, metric)
    return sum(samples) / len(samples) if record.status == "ok" and samples else None


def over_seeds(records: Iterable[Record], metric: str) -> tuple[Interval, list[float]] | None:
    """Mean, interval and the value of each seed; None when no seed gave one."""
    samples = [x for record in records if record.status == "ok" for x in values(record, metric)[:1]]
    return (within(mean_interval(samples), 0.0, 1.0 if metric == "accuracy" else math.inf), samples) if samples else None


def status_word(record: Record) -> str:
    """The status as people say it."""
    return STATUS_WORDS.get(record.status, record.status)


def _by_start(records: Iterable[Record]) -> list[Record]:
    """From the oldest on; records of one moment, cell and session, which a store does not hold, by all that is in them."""

    def key(record: Record) -> tuple[str, ...]:
        return record.started_at, record.machine, record.session, record.id

    found: list[Record] = []
    for _, same in itertools.groupby(sorted(records, key=key), key):
        several = list(same)
        found += several if len(several) == 1 else sorted(several, key=lambda r: msgspec.json.encode(r, order="deterministic"))
    return found


def _task_label(task: str | None, data: str | None) -> str:
    return f"{task}" + (f" ({data})" if data else "")


def _order(record: Record) -> tuple[object, ...]:
    s, params = record.spec, canonical(record.spec.params) if record.spec.params else ""
    return (
        TRACKS.index(s.track), s.variant, params, record.machine, s.device, s.dtype, s.causal, s.batch_size,
        s.num_heads, s.head_dim, s.task or "", s.data or "", s.block or "", s.mode, s.num_layers or 0, s.seq_len or 0,
        s.epochs or 0, s.lr or 0.0, s.seed, record.id,
    )  # fmt: skip
