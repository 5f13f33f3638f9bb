"""Compares two variants, machines or commits cell by cell: ratios with intervals, and whether the second is surely better or worse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from attnbench.analysis.labels import Labels
from attnbench.analysis.name_kinds import Kind, resolved
from attnbench.analysis.ranking import METRICS, TRACKS, Entry, Lookup, What, settings
from attnbench.analysis.settings import SETTING, comparable, labels_of
from attnbench.errors import BadInput
from attnbench.spec.axes import MODES
from attnbench.stats import MARGIN, Interval, cost_p_values, exact_cheaper, mean_interval, median_ratio, paired_p_values, rejected
from attnbench.store.metrics import RESULTS, higher_is_better

if TYPE_CHECKING:
    import pandas as pd

Difference = Literal["better", "worse", "undecided", "failed", "not compared"]
LEVEL = {"time": 0.01, "memory": 0.01, "result": 0.05}
BAD = ("oom", "timeout", "error", "incorrect")
FIRST: dict[str, What] = {"kernel": "time", "depth": "time", "task": "result"}  # by track, where the failure of a cell is reported, once
TIMES = tuple(f"{mode}_s" for mode in MODES)
DRIFT = "drift_anchor_s"
DRIFT_RATIO = "drift_ratio"  # seconds of a call divided by those of the drift anchor, timed beside it
IGNORED: dict[Kind, tuple[str, ...]] = {"variant": (), "machine": ("machine", "gpu", "threads", "torch"), "commit": ()}


@dataclass(frozen=True)
class Pair:
    """The comparison of a and b in one cell, over all its seeds.

    what: "time", "memory" or "result", measured by `metric`.
    a, b: the medians; for a result the means.
    change: the ratio b / a with its interval, which is not widened for the number of cells; for a result the difference b - a. Memory is
    counted and has no interval.
    difference: whether b is better or worse than a, tested among all pairs with the same `what`; "failed" where a has numbers and b failed
    (`why` says how); "not compared" where one of them has no numbers for another reason (`why` says which).
    """

    track: str
    setting: dict[str, Any]
    label: str
    what: What
    metric: str
    a: float | None
    b: float | None
    change: Interval | None
    difference: Difference
    why: str = ""


@dataclass(frozen=True)
class Comparison:
    """The pairs of two names, a and b. only_a, only_b: the number of cells that only one of them has; they are not compared."""

    kind: Kind
    a: str
    b: str
    pairs: list[Pair]
    only_a: int
    only_b: int

    @property
    def regressions(self) -> list[Pair]:
        """The pairs in which the second is surely worse, or failed."""
        return [pair for pair in self.pairs if pair.difference in ("worse", "failed")]


def compare(
    table: pd.DataFrame, a: str, b: str, margin: float = MARGIN, whats: Sequence[What] = ("time", "memory", "result")
) -> Comparison:
    """Compare two variants (by their labels), two machines, or two commits (by their first digits or any name that git knows).

    table: from attnbench.load. Variants are compared within each setting; machines and commits in each cell of each variant. Two times
    differ if they differ by more than `margin` and a rank test says so, at a false discovery rate of 1 % over all cells; two results, if a
    t-test paired by seed says so, at 5 %; two memories, if they differ by more than 1 % in all seeds. Times are compared as ratios to
    softmax in the same rounds where both have them; between machines as seconds; softmax's own between commits as ratios to the drift
    anchor. Times of flagged sessions are not compared. Where a machine measured a cell with several numbers of threads, GPUs or versions of
    torch, that with most threads counts, then that whose name sorts last.

    Raises BadInput for names that are not in the results, of two kinds, or the same, and when they have no cell in common.
    """
    labels = labels_of(table)
    kind, a, b = resolved(table, labels, a, b)
    found: list[Pair] = []
    alone: tuple[set[Any], set[Any]] = (set(), set())
    for what in whats:
        pairs: list[tuple[Pair, float, float]] = []
        for track in TRACKS[what]:
            for key, setting, label, one, other in _matched(table, labels, kind, (a, b), what, track):
                if one is not None and other is not None:
                    pairs += _pair(kind, track, setting, label, what, one, other, margin)
                else:
                    alone[one is None].add(key)
        found += _judged(pairs, LEVEL[what])
    if not found:
        raise BadInput(f"{a!r} and {b!r} have no cell in common, of the same setting and version of torch; run both on the same preset")
    return Comparison(kind, a, b, found, len(alone[0]), len(alone[1]))


@dataclass(frozen=True)
class _Side:
    """A mechanism's records in one setting, on one side of the comparison."""

    entry: Entry
    lookup: Lookup

    def samples(self, metric: str) -> list[float]:
        return [x for of in self.by_record(metric) for x in of]

    def by_record(self, metric: str) -> list[list[float]]:
        """The samples of each record."""
        if metric == DRIFT_RATIO:
            return [self._over_drift(record) for record in self.entry.records]
        return [list(self.lookup.get(metric, {}).get(record, [])) for record in self.entry.records]

    def _over_drift(self, record: int) -> list[float]:
        seconds = next((of[record] for name in TIMES if record in (of := self.lookup.get(name, {}))), [])
        drift = self.lookup.get(DRIFT, {}).get(record)
        return [x / float(np.median(drift)) for x in seconds] if drift else []

    @property
    def failure(self) -> tuple[str, str] | None:
        """Status and reason of its first record without numbers."""
        place = self.entry.failed
        if place is None:
            return None
        return self.entry.statuses[place], (self.entry.reasons[place] or "no reason given").splitlines()[0]

    def by_seed(self, metric: str) -> dict[int, float]:
        held = self.lookup.get(metric, {})
        return {seed: held[record][0] for seed, record in zip(self.entry.seeds, self.entry.records, strict=True) if record in held}


_Match = tuple[Any, dict[str, Any], str, _Side | None, _Side | None]


def _matched(table: pd.DataFrame, labels: Labels, kind: Kind, names: tuple[str, str], what: What, track: str) -> Iterator[_Match]:
    """Yield key, setting, label and both sides of every cell that either side has; None for a side that lacks it."""
    column = {"variant": "label", "machine": "machine", "commit": "attnbench_commit"}[kind]
    sides: tuple[dict[Any, tuple[dict[str, Any], str, _Side]], ...] = ({}, {})
    whole = comparable(table, track, labels) if kind == "variant" else None
    for name, side in zip(names, sides, strict=True):
        part = table[(table[column] == name).to_numpy()] if whole is None else None
        rows = comparable(part, track, labels) if part is not None else whole[(whole[column] == name).to_numpy()]  # type: ignore[index]
        found = list(settings(rows, track, (*METRICS[what], DRIFT)))
        for values, entries, lookup in sorted(found, key=lambda one: _counts(kind, dict(zip(SETTING[track], one[0], strict=True)))):
            setting = {axis: value for axis, value in zip(SETTING[track], values, strict=True) if axis not in IGNORED[kind]}
            for entry in entries:
                label = "" if kind == "variant" else entry.label
                side[(track, *map(str, setting.values()), label)] = (setting, label, _Side(entry, lookup))
    for key in dict.fromkeys((*sides[0], *sides[1])):
        setting, label, _ = sides[0].get(key) or sides[1][key]
        one, other = (side[key][2] if key in side else None for side in sides)
        yield key, setting, label, one, other


def _counts(kind: Kind, setting: dict[str, Any]) -> tuple[float, ...]:
    """Sort key of a setting: of those that differ in an ignored axis alone, the last counts."""
    known = sum(setting[axis] is not None and setting[axis] == setting[axis] for axis in IGNORED[kind])
    threads = setting["threads"] if "threads" in IGNORED[kind] else None
    return known, 0.0 if threads is None or threads != threads else threads


def _pair(
    kind: Kind, track: str, setting: dict[str, Any], label: str, what: What, a: _Side, b: _Side, margin: float
) -> list[tuple[Pair, float, float]]:
    """A pair, not yet judged, with two one-sided p-values: that b has more than a, and that b has less; an empty list where neither side
    has numbers or a failure is reported elsewhere."""

    def told(difference: Difference, why: str) -> list[tuple[Pair, float, float]]:
        return [(Pair(track, setting, label, what, metric, None, None, None, difference, why), 1.0, 1.0)] if what == FIRST[track] else []

    metric = _metric(kind, setting, label, what, a, b)
    failures = a.failure, b.failure
    if failures[1] and not failures[0] and (failures[1][0] in BAD or kind == "commit"):
        return told("failed", ": ".join(failures[1]))
    if failures[0] or failures[1]:
        return [] if failures[0] and failures[1] else told("not compared", ": ".join(failures[0] or failures[1] or ()))
    flag = next((flag for side in (a, b) for flag in side.entry.flags if flag), None) if what == "time" else None
    if flag:
        return told("not compared", f"flagged: {flag}")
    held = [side.samples(metric) for side in (a, b)]
    if not all(held) or (what != "result" and min(map(min, held)) <= 0):
        return told("not compared", "one of them has no such number")
    if what == "result":
        return _results(Pair(track, setting, label, what, metric, None, None, None, "undecided"), a, b)
    middles = [float(np.median(of)) for of in held]
    if what == "time":
        p = cost_p_values(held, margin)
        pair = Pair(track, setting, label, what, metric, middles[0], middles[1], median_ratio(held[1], held[0]), "undecided")
        return [(pair, float(p[1, 0]), float(p[0, 1]))]
    ratio, below = middles[1] / middles[0], exact_cheaper(held)
    pair = Pair(track, setting, label, what, metric, middles[0], middles[1], Interval(ratio, ratio, ratio, 0.0), "undecided")
    return [(pair, 0.0 if below[0, 1] else 1.0, 0.0 if below[1, 0] else 1.0)]


def _results(pair: Pair, a: _Side, b: _Side) -> list[tuple[Pair, float, float]]:
    """As `_pair`, for test results: compared over the seeds that both have."""
    mine, theirs = a.by_seed(pair.metric), b.by_seed(pair.metric)
    seeds = sorted(mine.keys() & theirs.keys())
    if not seeds:
        return [(replace(pair, difference="not compared", why="no seed in common"), 1.0, 1.0)]
    p = paired_p_values([mine, theirs])
    means = [float(np.mean([of[seed] for seed in seeds])) for of in (mine, theirs)]
    change = mean_interval([theirs[seed] - mine[seed] for seed in seeds])
    return [(replace(pair, a=means[0], b=means[1], change=change), float(p[1, 0]), float(p[0, 1]))]


def _metric(kind: Kind, setting: dict[str, Any], label: str, what: What, a: _Side, b: _Side) -> str:
    if what == "memory":
        return "peak_memory_bytes"
    if what == "result":
        return next((metric for metric in RESULTS if a.samples(metric) or b.samples(metric)), "accuracy")
    relative = kind == "variant" or (kind == "commit" and label != "softmax")
    if relative and all(all(side.by_record("anchor_ratio")) for side in (a, b)):
        return "anchor_ratio"
    drift = kind == "commit" and all(all(side.by_record(DRIFT_RATIO)) for side in (a, b))
    return DRIFT_RATIO if drift else f"{setting['mode']}_s"


def _judged(pairs: Sequence[tuple[Pair, float, float]], level: float) -> list[Pair]:
    """The pairs with their differences; `level` is the false discovery rate over all pairs that can be tested."""
    tested = [place for place, (pair, _, _) in enumerate(pairs) if pair.difference == "undecided"]
    different = rejected(np.minimum(1.0, [2 * min(pairs[place][1:]) for place in tested]), level)
    found = [pair for pair, _, _ in pairs]
    for place, is_different in zip(tested, different.tolist(), strict=True):
        pair, more, less = pairs[place]
        if is_different:
            more_is_better = pair.what == "result" and higher_is_better(pair.metric)
            found[place] = replace(pair, difference="better" if (more < less) == more_is_better else "worse")
    return found
