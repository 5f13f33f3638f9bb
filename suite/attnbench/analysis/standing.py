"""What is known of a mechanism in one setting: its place, how its cost grows, where it crosses another, its average over tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from attnbench.analysis.ranking import RESOLUTION
from attnbench.analysis.settings import Setting, as_texts
from attnbench.analysis.unverified import UNVERIFIED
from attnbench.stats import CONFIDENCE, Interval, Resolution
from attnbench.store.metrics import higher_is_better

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Standing:
    """A mechanism's place in a setting.

    rank: the first and last rank that it could have, or None; ties: the labels it cannot be told from; why: the reason for no rank.
    metric, interval: what it is ranked by; a time is ranked by `softmax_ratio`, its seconds over softmax's own, where it can be.
    seconds: of a time, the seconds themselves; None where they do not count. processes: in how many processes it was measured.
    apart: what of the row is not of the table's main session or commit ("of session X", "1 of 3 processes of commit Y"); None where all is.
    notes: what a reader must know beside the number, each a sentence without its full stop ("launch-bound: ...").
    implementation: the mechanism's code on that device, "tuned", "compiled" or "reference"; "" where the record does not say.
    """

    rank: tuple[int, int] | None
    ties: tuple[str, ...]
    metric: str
    interval: Interval | None
    why: str | None
    processes: int = 1
    apart: str | None = None
    notes: tuple[str, ...] = ()
    seconds: Interval | None = None
    implementation: str = ""

    def ahead_of(self, other: Standing) -> bool:
        """Whether this one is better, where a test tells the two apart: the larger accuracy is better, else the smaller value."""
        if self.interval is None or other.interval is None:
            return False
        return (self.interval.value > other.interval.value) == higher_is_better(self.metric)

    @property
    def flagged(self) -> bool:
        return bool(self.why and self.why.startswith("flagged: "))

    @property
    def counts(self) -> bool:
        """Whether its number may be set beside others: of a disturbed or an unverified cell it may not."""
        return not self.flagged and not (self.why or "").startswith(UNVERIFIED)


@dataclass(frozen=True)
class Growth:
    """How a cost grows with the size.

    exponent: the slope over the longest sizes, None where there is none; why: the reason for that. sizes, smallest, largest: the number and
    range of the sizes it was fitted to; claimed: the exponent that the mechanism claims, None where it claims none.
    """

    exponent: Interval | None
    sizes: int
    smallest: float
    largest: float
    claimed: float | None
    why: str | None = None


@dataclass(frozen=True)
class Crossing:
    """From which size on a mechanism costs less than a baseline.

    found: "crosses", "always", "never", "undecided", or "" where too few sizes were measured.
    """

    found: str
    size: Interval
    smallest: float  # size at which both were measured


@dataclass(frozen=True)
class AveragePlace:
    """A mechanism's average rank over tasks, and the first and last place that it could have."""

    rank: float
    range: tuple[int, int]


def standing_of(row: Mapping[str, Any]) -> Standing:
    """The standing of a row of a ranking."""
    rank = None if is_missing(row["rank_low"]) else (int(row["rank_low"]), int(row["rank_high"]))
    interval = None if is_missing(row["value"]) else Interval(row["value"], row["low"], row["high"], row["confidence"])
    own = None if is_missing(row["seconds"]) else Interval(row["seconds"], row["seconds_low"], row["seconds_high"], CONFIDENCE)
    if own and own.low == own.high:  # of one sample, which says nothing of its spread
        own = replace(own, confidence=0.0)
    why, apart = (None if is_missing(row[name]) else row[name] for name in ("why", "apart"))
    more = {"processes": row["records"], "apart": apart, "notes": row["notes"], "seconds": own, "implementation": row["implementation"]}
    return Standing(rank, tuple(row["ties"]), row["metric"], interval, why, **more)


def resolution_of_row(row: Mapping[str, Any]) -> Resolution | None:
    """The resolution of the table of a row of a ranking; None where it has none."""
    between, over_cells, processes = (row[name] for name in RESOLUTION)
    return None if is_missing(between) else Resolution(between, None if is_missing(over_cells) else over_cells, int(processes))


def by_setting(table: pd.DataFrame, axes: Sequence[str]) -> Iterator[tuple[Setting, dict[str, Any]]]:
    """Yield every row with its setting as texts."""
    columns = {name: table[name].tolist() for name in table.columns}
    keys = zip(*(columns[name] for name in axes), strict=True)
    values = zip(*columns.values(), strict=True)
    for key, row in zip(keys, values, strict=True):
        yield as_texts(key), dict(zip(columns, row, strict=True))


def is_missing(value: object) -> bool:
    return value is None or value != value
