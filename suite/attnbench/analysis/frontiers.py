"""Pareto frontiers of test results against training time or memory, on every task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

import numpy as np

from attnbench.analysis.entries import Entry, Lookup, settings
from attnbench.analysis.labels import Labels
from attnbench.analysis.overall import rounded
from attnbench.analysis.settings import SETTING, comparable
from attnbench.analysis.task_metrics import CHANCES, nothing_known
from attnbench.analysis.time_medians import TimeMedians
from attnbench.analysis.time_table import TimeTable
from attnbench.analysis.times import time_table
from attnbench.stats import exact_cheaper, frontier, in_groups, scoring_higher
from attnbench.store.metrics import RESULTS, higher_is_better

if TYPE_CHECKING:
    import pandas as pd

_PEAK = "peak_memory_bytes"


def frontiers(table: pd.DataFrame, against: str = "time", labels: Labels | None = None) -> pd.DataFrame:
    """Which mechanisms are on the Pareto frontier of test result against training time ("time") or peak memory ("memory"), on every task.

    Columns: the setting's; label, variant; metric, the name of the test metric; gain, its mean over seeds, or the median where some seeds
    learned and some did not; cost, the median over seeds, in seconds or bytes; place: "frontier", "undecided" or "dominated", as
    stats.frontier says. A mechanism that lacks a result or a cost above zero in one of its seeds is left out; so is, for times, one whose
    seconds do not count.
    """
    import pandas as pd

    found: list[tuple[Any, ...]] = []
    rows = comparable(table, "task", labels)
    times = TimeMedians(table, rows, "task", labels) if against == "time" else None
    for setting, entries, lookup in settings(rows, "task", (*RESULTS, *CHANCES, _PEAK)):
        timed = None if times is None else time_table(times, setting, entries, "train_s")
        costs = _bytes(entries, lookup[_PEAK]) if timed is None else _seconds(timed)
        for metric in RESULTS:
            gains = lookup[metric]
            places = [place for place in costs if all(record in gains for record in entries[place].records)]
            if places:
                told = _placed(entries, places, metric, costs, lookup, timed)
                found += [
                    (*setting, entries[place].label, entries[place].variant, metric, *of) for place, of in zip(places, told, strict=True)
                ]
    names = ("label", "variant", "metric", "gain", "cost", "place")
    return pd.DataFrame(found, columns=[*SETTING["task"], *names])


def _placed(
    entries: Sequence[Entry], places: Sequence[int], metric: str, costs: Mapping[int, float], lookup: Lookup, timed: TimeTable | None
) -> list[tuple[float, float, str]]:
    """Gain, cost and place on the frontier of some mechanisms of a setting."""
    whole, gains = [entries[place] for place in places], lookup[metric]
    by_seed = [{seed: gains[record][0] for seed, record in zip(entry.seeds, entry.records, strict=True)} for entry in whole]
    nothing = nothing_known(metric, [record for entry in whole for record in entry.records], lookup)
    scale = 0.0 if nothing is None else max(abs(x - nothing) for of in by_seed for x in of.values())
    reached = [rounded((median if in_groups(list(of.values()), scale) else fmean)(of.values())) for of in by_seed]
    sign = 1.0 if higher_is_better(metric) else -1.0
    better = scoring_higher([{seed: sign * x for seed, x in of.items()} for of in by_seed])
    if timed is None:
        cheaper = exact_cheaper([[x for record in entry.records for x in lookup[_PEAK][record]] for entry in whole])
    else:
        cheaper = timed.cheaper(places)
    spent = [costs[place] for place in places]
    return list(zip(reached, spent, frontier(spent, [sign * x for x in reached], cheaper, better), strict=True))


def _seconds(timed: TimeTable) -> dict[int, float]:
    """The seconds of those mechanisms of a setting whose times count, by their place."""
    counts = np.isfinite(timed.seconds.log) & np.array([why is None for why in timed.whys])
    return {place: math.exp(timed.seconds.log[place]) for place in np.flatnonzero(counts).tolist()}


def _bytes(entries: Sequence[Entry], samples: Mapping[int, list[float]]) -> dict[int, float]:
    """The bytes of those mechanisms of a setting that have some in every seed, by their place."""
    held = {place: [samples.get(record, [0.0]) for record in entry.records] for place, entry in enumerate(entries)}
    return {place: median(x for own in of for x in own) for place, of in held.items() if min(map(min, of)) > 0}
