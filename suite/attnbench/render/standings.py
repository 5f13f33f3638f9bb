"""What the statistics say of every setting, looked up by a record of it: ranks, growth, crossovers, average ranks over tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attnbench.comparable import ALONG, SETTING
from attnbench.labels import Labels
from attnbench.overall import Aggregate, frontiers, task_ranks
from attnbench.ranking import What, rankings
from attnbench.record import Record
from attnbench.scaling import Cost, crossovers, growth
from attnbench.stats import Interval

if TYPE_CHECKING:
    import pandas as pd

Key = tuple[str, ...]


@dataclass(frozen=True)
class Standing:
    """A mechanism's place in a setting: its first and last rank, None without one; those it cannot be told from; why it has no rank."""

    rank: tuple[int, int] | None
    ties: tuple[str, ...]
    metric: str
    interval: Interval | None
    why: str | None

    @property
    def flagged(self) -> bool:
        return bool(self.why and self.why.startswith("flagged: "))


@dataclass(frozen=True)
class Growth:
    """The exponent of a cost in the size, None below two sizes, over which sizes it was taken, and what is claimed."""

    exponent: Interval | None
    sizes: int
    smallest: float
    largest: float
    claimed: float | None


@dataclass(frozen=True)
class Crossing:
    """From which size on a mechanism costs less than a baseline: "crosses", "always", "never", "undecided" or "" for too few sizes."""

    found: str
    size: Interval


class Standings:
    """Every table of the statistics, made when it is first asked for.

    table: of attnbench.frame.frame, of every record. labels: of all of it.
    """

    def __init__(self, table: pd.DataFrame, labels: Labels) -> None:
        self._table, self._labels = table, labels
        self._growths: dict[tuple[Cost, str], dict[Key, dict[str, Growth]]] = {}
        self._frontiers: dict[str, dict[Key, dict[str, str]]] = {}
        self._crossings: dict[Cost, dict[Key, dict[str, dict[str, Crossing]]]] = {}

    def places(self, what: What, record: Record) -> Mapping[str, Standing]:
        """Of the record's setting, the place of every mechanism by its label."""
        return self._places.get(record.spec.track, {}).get(what, {}).get(_setting(record), {})

    def growth(self, what: Cost, record: Record) -> Mapping[str, Growth]:
        """Of the record's setting, at every size, how each mechanism's cost grows, by label."""
        track = record.spec.track
        if (what, track) not in self._growths:
            found: dict[Key, dict[str, Growth]] = {}
            axes = [name for name in SETTING[track] if name != ALONG[track]]
            for key, row in _rows(growth(self._table, what, track, self._labels), axes):
                exponent = None if _missing(row["value"]) else Interval(row["value"], row["low"], row["high"], 0.95)
                claimed = None if _missing(row["claimed"]) else row["claimed"]
                grown = Growth(exponent, row["sizes"], row["smallest"], row["largest"], claimed)
                found.setdefault(key, {})[row["label"]] = grown
            self._growths[what, track] = found
        return self._growths[what, track].get(_setting(record, ALONG[track]), {})

    def crossings(self, what: Cost, record: Record) -> Mapping[str, Mapping[str, Crossing]]:
        """Of the record's kernel setting, at every length, where each mechanism crosses each baseline, by both labels."""
        if what not in self._crossings:
            found: dict[Key, dict[str, dict[str, Crossing]]] = {}
            axes = [name for name in SETTING["kernel"] if name != ALONG["kernel"]]
            for key, row in _rows(crossovers(self._table, what, "kernel", self._labels), axes):
                crossing = Crossing("" if _missing(row["found"]) else row["found"], Interval(row["value"], row["low"], row["high"], 0.95))
                found.setdefault(key, {}).setdefault(row["label"], {})[row["baseline"]] = crossing
            self._crossings[what] = found
        return self._crossings[what].get(_setting(record, "seq_len"), {})

    def frontier(self, against: str, record: Record) -> Mapping[str, str]:
        """Of the record's task setting, who is on the frontier of gain and cost, undecided or dominated, by label."""
        if against not in self._frontiers:
            found: dict[Key, dict[str, str]] = {}
            for key, row in _rows(frontiers(self._table, against, self._labels), SETTING["task"]):
                found.setdefault(key, {})[row["label"]] = row["place"]
            self._frontiers[against] = found
        return self._frontiers[against].get(_setting(record), {})

    def over_tasks(self, record: Record) -> Aggregate | None:
        """Average ranks over the tasks of residual models on the record's machine, device, dtype and torch."""
        s = record.spec
        return self._over_tasks.get((record.machine, s.device, s.dtype, str(record.environment.get("torch"))))

    @cached_property
    def _over_tasks(self) -> dict[tuple[str, ...], Aggregate]:
        return {aggregate.bench: aggregate for aggregate in task_ranks(self._table, labels=self._labels)}

    @cached_property
    def _places(self) -> dict[str, dict[What, dict[Key, dict[str, Standing]]]]:
        found: dict[str, dict[What, dict[Key, dict[str, Standing]]]] = {}
        for track, axes in SETTING.items():
            for what, table in rankings(self._table, track, self._labels).items():
                places = found.setdefault(track, {}).setdefault(what, {})
                for key, row in _rows(table, axes):
                    places.setdefault(key, {})[row["label"]] = _standing(row)
        return found


def _standing(row: Mapping[str, Any]) -> Standing:
    rank = None if _missing(row["rank_low"]) else (int(row["rank_low"]), int(row["rank_high"]))
    interval = None if _missing(row["value"]) else Interval(row["value"], row["low"], row["high"], row["confidence"])
    return Standing(rank, tuple(row["ties"]), row["metric"], interval, None if _missing(row["why"]) else row["why"])


def _setting(record: Record, without: str = "") -> Key:
    """The key of a record's setting; without: the axis along which it grows."""
    s = record.spec
    beside = {"machine": record.machine, "torch": record.environment.get("torch")}
    if s.track == "task":
        beside["rate"] = f"{s.lr:g}" if s.lr_grid is None else f"of {s.lr_grid}"
    return tuple(_text(beside[name] if name in beside else getattr(s, name)) for name in SETTING[s.track] if name != without)


def _rows(table: pd.DataFrame, axes: Sequence[str]) -> Iterator[tuple[Key, dict[str, Any]]]:
    """Every row, with the key of its setting."""
    columns = {name: table[name].tolist() for name in table.columns}
    keys = zip(*([_text(value) for value in columns[name]] for name in axes), strict=True)
    values = zip(*columns.values(), strict=True)
    for key, row in zip(keys, values, strict=True):
        yield key, dict(zip(columns, row, strict=True))


def _text(value: object) -> str:
    """A value of an axis, whatever type the frame gave it; nothing for a missing one."""
    if value is None or value != value or not isinstance(value, (str, bool, int, float)):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _missing(value: object) -> bool:
    return value is None or value != value
