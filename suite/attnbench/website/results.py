"""Records as the pages want them: the newest of each cell, in one order, grouped so that only like is set beside like."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from attnbench.analysis.drift import Drifts
from attnbench.analysis.frame import frame, newest
from attnbench.analysis.labels import Labels, canonical
from attnbench.attention import Variant
from attnbench.spec.axes import TRACKS
from attnbench.stats import Interval, mean_interval, median_interval, within
from attnbench.store.record import Record
from attnbench.website.groups import Axis, Group, axes, by_variant, cell_but_params, pooled
from attnbench.website.palette import Style, assign
from attnbench.website.tables.standings import Standings

if TYPE_CHECKING:
    import pandas as pd

BASELINE = "softmax"
LARGEST = 1e150  # nothing measured is larger, and ratios of what is smaller stay finite
STATUS_WORDS = {"oom": "out of memory", "error": "error", "incorrect": "incorrect", "timeout": "timeout"}


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
        self.declared = declared
        self._label_of: dict[tuple[str, str], str] = {}
        self.records = sorted(self._newest(), key=_order)
        self.drifts = Drifts(ordered)
        self._flags = self.drifts.flags()
        families = {name: variant.family for name, variant in declared.items()}
        families = {**{r.spec.variant: "other" for r in self.records}, **families}
        self.styles: dict[str, Style] = assign(families, shipped)
        self.charts: dict[object, Any] = {}  # that stand on several pages
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
        return by_variant(self.records)

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

    def _newest(self) -> list[Record]:
        """The newest record of every cell; cells whose parameters differ in what is written out alone are one."""
        found: dict[object, Record] = {}
        for record in sorted(newest(self.sessions), key=lambda r: (r.started_at, r.session)):
            found[record.machine, str(record.environment.get("torch")), cell_but_params(record.spec), self.label(record)] = record
        return list(found.values())

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


def by_label(results: Results, records: Iterable[Record]) -> dict[str, list[Record]]:
    """Records by the label of their mechanism, in the order in which they come."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(results.label(record), []).append(record)
    return found


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


def _order(record: Record) -> tuple[object, ...]:
    s, params = record.spec, canonical(record.spec.params) if record.spec.params else ""
    return (
        TRACKS.index(s.track), s.variant, params, record.machine, s.device, s.dtype, s.causal, s.batch_size,
        s.num_heads, s.head_dim, s.task or "", s.data or "", s.block or "", s.mode, s.num_layers or 0, s.seq_len or 0,
        s.epochs or 0, s.lr or 0.0, s.seed, record.id,
    )  # fmt: skip
