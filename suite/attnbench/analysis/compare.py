"""Compares two variants, machines or commits cell by cell: ratios with intervals, and whether the second is surely better or worse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from attnbench.analysis.name_kinds import Kind, resolved
from attnbench.analysis.ranking import TRACKS, What
from attnbench.analysis.scores import scores_of
from attnbench.analysis.settings import labels_of
from attnbench.analysis.sides import DRIFT_RATIO, Side, matched
from attnbench.analysis.time_medians import BASELINE
from attnbench.analysis.time_table import RATIO
from attnbench.errors import BadInput
from attnbench.stats import Interval, exact_cheaper, in_groups, mean_interval, paired_p_values, rejected
from attnbench.store.metrics import RESULTS, higher_is_better

if TYPE_CHECKING:
    import pandas as pd

Difference = Literal["better", "worse", "undecided", "failed", "not compared"]
LEVEL = 0.05  # false discovery rate
BAD = ("oom", "timeout", "error", "incorrect")
FIRST: dict[str, What] = {
    "kernel": "time",
    "depth": "time",
    "task": "result",
    "step": "time",
}  # by track, where the failure of a cell is reported, once


@dataclass(frozen=True)
class Pair:
    """The comparison of a and b in one cell, over all its seeds.

    what: "time", "memory" or "result", measured by `metric`.
    a, b: the costs; for a result the means over seeds, or the medians where some seeds learned and some did not.
    change: the ratio b / a with its interval, which is not widened for the number of cells; for a result the difference b - a, without an
    interval where no mean stands for the seeds. Memory is counted and has no interval.
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


def compare(table: pd.DataFrame, a: str, b: str, margin: float = 1.0, whats: Sequence[What] = ("time", "memory", "result")) -> Comparison:
    """Compare two variants (by their labels), two machines, or two commits (by their first digits or any name that git knows).

    table: from attnbench.load. Variants are compared within each setting; machines and commits in each cell of each variant. Two times
    differ if the model of processes says so and they differ by more than their tables resolve, and by more than `margin`; two results of
    variants, if Welch's test over seeds and rows of the test part says so, as in their table; those of machines and commits, if a t-test
    paired by seed does, for there the same seed is the same run. Both are at a false discovery rate of 5 % over all cells. Two memories
    differ by more than 1 % in all seeds. Times are compared as in their tables, as ratios to softmax where they have them; between machines
    as seconds; softmax's own between commits as ratios to the drift anchor. Times that do not count are not compared. Where a machine
    measured a cell with several numbers of threads, GPUs or versions of torch, that with most threads counts, then that whose name sorts
    last.

    Raises BadInput for names that are not in the results, of two kinds, or the same, and when they have no cell in common.
    """
    labels = labels_of(table)
    kind, a, b = resolved(table, labels, a, b)
    found: list[Pair] = []
    alone: tuple[set[Any], set[Any]] = (set(), set())
    for what in whats:
        pairs: list[tuple[Pair, float, float]] = []
        for track in TRACKS[what]:
            for key, setting, label, one, other in matched(table, labels, kind, (a, b), what, track):
                if one is not None and other is not None:
                    pairs += _pair(kind, track, setting, label, what, one, other, margin)
                else:
                    alone[one is None].add(key)
        found += _judged(pairs, LEVEL)
    if not found:
        raise BadInput(f"{a!r} and {b!r} have no cell in common, of the same setting and version of torch; run both on the same preset")
    return Comparison(kind, a, b, found, len(alone[0]), len(alone[1]))


def _pair(
    kind: Kind, track: str, setting: dict[str, Any], label: str, what: What, a: Side, b: Side, margin: float
) -> list[tuple[Pair, float, float]]:
    """A pair, not yet judged, with two one-sided p-values: that b has more than a, and that b has less; an empty list where neither side
    has numbers or a failure is reported elsewhere."""

    def told(difference: Difference, why: str) -> list[tuple[Pair, float, float]]:
        return [(Pair(track, setting, label, what, metric, None, None, None, difference, why), 1.0, 1.0)] if what == FIRST[track] else []

    failures = a.failure, b.failure
    metric = _metric(kind, setting, label, what, a, b)
    if failures[1] and not failures[0] and (failures[1][0] in BAD or kind == "commit"):
        return told("failed", ": ".join(failures[1]))
    if failures[0] or failures[1]:
        return [] if failures[0] and failures[1] else told("not compared", ": ".join(failures[0] or failures[1] or ()))
    if unverified := a.entry.unverified or b.entry.unverified:
        return told("not compared", unverified)
    if what == "time":
        return _times(Pair(track, setting, label, what, metric, None, None, None, "undecided"), kind, a, b, margin)
    held = [side.samples(metric) for side in (a, b)]
    if not all(held) or (what != "result" and min(map(min, held)) <= 0):
        return told("not compared", "one of them has no such number")
    if what == "result":
        return _results(Pair(track, setting, label, what, metric, None, None, None, "undecided"), kind, a, b)
    middles = [float(np.median(of)) for of in held]
    ratio, below = middles[1] / middles[0], exact_cheaper(held)
    pair = Pair(track, setting, label, what, metric, middles[0], middles[1], Interval(ratio, ratio, ratio, 0.0), "undecided")
    return [(pair, 0.0 if below[0, 1] else 1.0, 0.0 if below[1, 0] else 1.0)]


def _times(pair: Pair, kind: Kind, a: Side, b: Side, margin: float) -> list[tuple[Pair, float, float]]:
    """As `_pair`, for times: by the model of processes, and by more than both tables resolve."""
    flag = a.entry.flag or b.entry.flag
    costs = a.cost(pair.metric), b.cost(pair.metric)
    if flag or costs[0] is None or costs[1] is None:
        drift = next((side.entry.drift for side in (a, b) if side.entry.drift), None)
        why = f"flagged: {flag}" if flag else f"seconds do not count: {drift}" if drift else "one of them has no such number"
        return [(replace(pair, difference="not compared", why=why), 1.0, 1.0)]
    change = costs[1].over(costs[0])
    if kind == "variant" and a.table is not None:
        change = a.table.over(b.place, a.place)  # what both are divided by divides out
    resolved = max(margin, *(side.table.resolution.factor for side in (a, b) if side.table and side.table.resolution))
    middles = [float(np.exp(cost.log)) for cost in costs if cost]
    pair = replace(pair, a=middles[0], b=middles[1], change=change.interval())
    return [(pair, *(change.tails() if abs(change.log) > np.log(resolved) else (1.0, 1.0)))]


def _results(pair: Pair, kind: Kind, a: Side, b: Side) -> list[tuple[Pair, float, float]]:
    """As `_pair`, for test results: of two variants as in their table, else over the seeds that both have."""
    mine, theirs = a.by_seed(pair.metric), b.by_seed(pair.metric)
    if kind == "variant":
        values = [list(of.values()) for of in (mine, theirs)]
        apart = [float(np.median(values[1]) - np.median(values[0]))]
        change, p = _apart(pair.metric, a, b)
    else:
        seeds = sorted(mine.keys() & theirs.keys())
        if not seeds:
            return [(replace(pair, difference="not compared", why="no seed in common"), 1.0, 1.0)]
        values = [[of[seed] for seed in seeds] for of in (mine, theirs)]
        apart = [theirs[seed] - mine[seed] for seed in seeds]
        tails = paired_p_values([mine, theirs])
        change, p = mean_interval(apart), (float(tails[1, 0]), float(tails[0, 1]))
    nothing = next((x for side in (a, b) if (x := side.nothing_known(pair.metric)) is not None), None)
    scale = 0.0 if nothing is None else max(abs(x - nothing) for of in values for x in of)
    grouped = any(in_groups(of, scale) for of in values)
    if grouped:
        middle = float(np.median(apart))
        change = Interval(middle, middle, middle, 0.0)
    middles = [float((np.median if grouped else np.mean)(of)) for of in values]
    return [(replace(pair, a=middles[0], b=middles[1], change=change), *p)]


def _apart(metric: str, a: Side, b: Side) -> tuple[Interval, tuple[float, float]]:
    """By how much the results of b are above those of a in one setting, and the p-values of "above" and "below"."""
    scores = scores_of([a.entry, b.entry], metric, a.lookup)
    ahead = scores.difference(1, 0)
    above = replace(ahead, value=scores.sign * ahead.value)
    return above.interval(), (above.p_above(), above.p_below())


def _metric(kind: Kind, setting: dict[str, Any], label: str, what: What, a: Side, b: Side) -> str:
    if what == "memory":
        return "peak_memory_bytes"
    if what == "result":
        return next((metric for metric in RESULTS if a.samples(metric) or b.samples(metric)), "accuracy")
    relative = kind == "variant" or (kind == "commit" and label != BASELINE)
    if relative and all(side.table is not None and side.table.metric == RATIO for side in (a, b)):
        return RATIO
    drift = kind == "commit" and all(side.cost(DRIFT_RATIO) is not None for side in (a, b))
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
