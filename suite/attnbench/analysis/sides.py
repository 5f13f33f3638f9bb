"""What a comparison pairs: the records of every mechanism in every cell, of either of two variants, machines or commits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnbench.analysis.entries import Entry, Lookup, settings
from attnbench.analysis.labels import Labels
from attnbench.analysis.name_kinds import Kind
from attnbench.analysis.ranking import METRICS, What
from attnbench.analysis.settings import SETTING, as_texts, comparable
from attnbench.analysis.task_metrics import CHANCES, nothing_known
from attnbench.analysis.time_medians import TimeMedians
from attnbench.analysis.time_table import TimeTable
from attnbench.analysis.times import time_table
from attnbench.stats import Location, locations

if TYPE_CHECKING:
    import pandas as pd

DRIFT_RATIO = "drift_ratio"  # seconds of a call divided by those of the drift anchor, timed beside it
IGNORED: dict[Kind, tuple[str, ...]] = {"variant": (), "machine": ("machine", "gpu", "threads", "torch"), "commit": ()}


@dataclass(frozen=True)
class Side:
    """A mechanism's records in one setting, on one side of the comparison. table, place: its setting's times, and its place among them."""

    entry: Entry
    lookup: Lookup
    times: TimeMedians | None
    table: TimeTable | None
    place: int
    setting: tuple[Any, ...]

    def samples(self, metric: str) -> list[float]:
        return [x for record in self.entry.records for x in self.lookup.get(metric, {}).get(record, [])]

    def cost(self, metric: str) -> Location | None:
        """Its time by a metric; None where it has none that counts."""
        if self.table is None or self.times is None:
            return None
        if metric == DRIFT_RATIO:
            own = self.times.over_drift.of(np.array(self.entry.records, dtype=np.intp))
            cells = np.zeros(len(own.log), dtype=np.intp)
            return locations(own, cells, 1, self.times.spreads(self.setting)[0]).at(0) if np.isfinite(own.log).all() else None
        return (self.table.published() if metric == self.table.metric else self.table.seconds).at(self.place)

    @property
    def failure(self) -> tuple[str, str] | None:
        """Status and reason of its first record without numbers."""
        place = self.entry.failed
        if place is None:
            return None
        return self.entry.statuses[place], (self.entry.reasons[place] or "no reason given").splitlines()[0]

    def nothing_known(self, metric: str) -> float | None:
        """The result of guessing by frequency alone; None where it was not measured."""
        return nothing_known(metric, self.entry.records, self.lookup)

    def by_seed(self, metric: str) -> dict[int, float]:
        held = self.lookup.get(metric, {})
        return {seed: held[record][0] for seed, record in zip(self.entry.seeds, self.entry.records, strict=True) if record in held}


Match = tuple[Any, dict[str, Any], str, Side | None, Side | None]


def matched(table: pd.DataFrame, labels: Labels, kind: Kind, names: tuple[str, str], what: What, track: str) -> Iterator[Match]:
    """Yield key, setting, label and both sides of every cell that either side has; None for a side that lacks it."""
    sides: tuple[dict[Any, tuple[dict[str, Any], str, Side]], ...] = ({}, {})
    for name, side in zip(names, sides, strict=True):
        part = table if kind == "variant" else table[(table["machine" if kind == "machine" else "attnbench_commit"] == name).to_numpy()]
        rows = comparable(part, track, labels)
        times = TimeMedians(part, rows, track, labels) if what == "time" else None
        found = list(settings(rows, track, (*METRICS[what], *CHANCES)))
        for values, entries, lookup in sorted(found, key=lambda one: _counts(kind, dict(zip(SETTING[track], one[0], strict=True)))):
            setting = {axis: value for axis, value in zip(SETTING[track], values, strict=True) if axis not in IGNORED[kind]}
            timed = None if times is None else time_table(times, values, entries, f"{setting['mode']}_s")
            for place, entry in enumerate(entries):
                if kind != "variant" or entry.label == name:
                    label = "" if kind == "variant" else entry.label
                    held = Side(entry, lookup, times, timed, place, values)
                    side[(track, *as_texts(setting.values()), label)] = (setting, label, held)
    for key in dict.fromkeys((*sides[0], *sides[1])):
        setting, label, _ = sides[0].get(key) or sides[1][key]
        one, other = (side[key][2] if key in side else None for side in sides)
        yield key, setting, label, one, other


def _counts(kind: Kind, setting: dict[str, Any]) -> tuple[float, ...]:
    """Sort key of a setting: of those that differ in an ignored axis alone, the last counts."""
    known = sum(setting[axis] is not None and setting[axis] == setting[axis] for axis in IGNORED[kind])
    threads = setting["threads"] if "threads" in IGNORED[kind] else None
    return known, 0.0 if threads is None or threads != threads else threads
