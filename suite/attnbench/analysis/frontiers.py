"""Pareto frontiers of test results against training time or memory, on every task."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from attnbench.analysis.entries import Entry, Lookup, settings
from attnbench.analysis.labels import Labels
from attnbench.analysis.overall import rounded
from attnbench.analysis.scores import READ, scores_of
from attnbench.analysis.settings import SETTING, comparable
from attnbench.analysis.step_times import counting, of_setting, step_times
from attnbench.analysis.task_metrics import CHANCES, nothing_known
from attnbench.analysis.time_medians import TimeMedians
from attnbench.analysis.times import time_table
from attnbench.stats import exact_cheaper, frontier, in_groups
from attnbench.store.metrics import RESULTS, higher_is_better

if TYPE_CHECKING:
    import pandas as pd

_PEAK, _STEPS = "peak_memory_bytes", "steps"


def frontiers(table: pd.DataFrame, against: str = "time", labels: Labels | None = None) -> pd.DataFrame:
    """Which mechanisms are on the Pareto frontier of test result against training time ("time") or peak memory ("memory"), on every task.

    Columns: the setting's; label, variant; metric, the name of the test metric; gain, its mean over seeds, or the median where some seeds
    learned and some did not; cost, in bytes the median over seeds, in seconds that of all steps, also where a run ended before them; place:
    "frontier", "undecided" or "dominated", as stats.frontier says; timed_on: the machine and threads whose seconds they are, missing where
    that is the setting's. A mechanism that lacks a result or a cost above zero in one of its seeds is left out; so is, for times, one
    whose seconds do not count.
    """
    import pandas as pd

    found: list[tuple[Any, ...]] = []
    rows = comparable(table, "task", labels)
    seconds = _Seconds(table, rows, labels) if against == "time" else None
    for setting, entries, lookup in settings(rows, "task", (*READ, *CHANCES, _PEAK, _STEPS)):
        spent = _bytes(entries, lookup[_PEAK]) if seconds is None else seconds.of(setting, entries, lookup[_STEPS])
        for metric in RESULTS:
            gains = lookup[metric]
            places = [place for place in spent.costs if all(record in gains for record in entries[place].records)]
            if places:
                told = _placed(entries, places, metric, spent, lookup)
                found += [
                    (*setting, entries[place].label, entries[place].variant, metric, *of, spent.where)
                    for place, of in zip(places, told, strict=True)
                ]
    names = ("label", "variant", "metric", "gain", "cost", "place", "timed_on")
    return pd.DataFrame(found, columns=[*SETTING["task"], *names])


@dataclass(frozen=True)
class _Spent:
    """The costs of the mechanisms of a setting, by their place among its entries; of some places, whether each is surely cheaper; and where
    they were timed, if not on the machine of the setting."""

    costs: Mapping[int, float]
    cheaper: Callable[[Sequence[int]], NDArray[np.bool_]]
    where: str | None = None


def _placed(
    entries: Sequence[Entry], places: Sequence[int], metric: str, spent: _Spent, lookup: Lookup
) -> list[tuple[float, float, str]]:  # fmt: skip
    """Gain, cost and place on the frontier of some mechanisms of a setting."""
    whole, gains = [entries[place] for place in places], lookup[metric]
    by_seed = [{seed: gains[record][0] for seed, record in zip(entry.seeds, entry.records, strict=True)} for entry in whole]
    nothing = nothing_known(metric, [record for entry in whole for record in entry.records], lookup)
    scale = 0.0 if nothing is None else max(abs(x - nothing) for of in by_seed for x in of.values())
    reached = [rounded((median if in_groups(list(of.values()), scale) else fmean)(of.values())) for of in by_seed]
    sign = 1.0 if higher_is_better(metric) else -1.0
    better = scores_of(whole, metric, lookup).ahead()
    costs = [spent.costs[place] for place in places]
    return list(zip(reached, costs, frontier(costs, [sign * x for x in reached], spent.cheaper(places), better), strict=True))


class _Seconds:
    """The seconds of training in every setting: steps times the seconds of a step, where those were timed apart, on the machine that timed
    most of the mechanisms; else the seconds that older records measured."""

    def __init__(self, table: pd.DataFrame, rows: pd.DataFrame, labels: Labels | None) -> None:
        self._measured, self._steps = TimeMedians(table, rows, "task", labels), step_times(table, labels)

    def of(self, setting: Sequence[Any], entries: Sequence[Entry], done: Mapping[int, list[float]]) -> _Spent:
        """The seconds of the mechanisms of a setting that have some. done: the steps of a run, by record."""
        timed = of_setting(self._steps, setting)
        if timed is None or not done:
            whole = time_table(self._measured, setting, entries, "train_s")
            return _Spent({place: math.exp(whole.seconds.log[place]) for place in counting(whole)}, whole.cheaper)
        trained = [place for place, entry in enumerate(entries) if any(record in done for record in entry.records)]
        # Those of the whole recipe: a run that diverges ends before them, and is no cheaper for that.
        steps = max(done[record][0] for place in trained for record in entries[place].records if record in done)
        seconds = {place: timed.seconds(entries[place].label) for place in trained}
        costs = {place: steps * of for place, of in seconds.items() if of is not None}
        return _Spent(costs, lambda places: timed.table.cheaper([timed.places[entries[place].label] for place in places]), timed.where)


def _bytes(entries: Sequence[Entry], samples: Mapping[int, list[float]]) -> _Spent:
    """The bytes of those mechanisms of a setting that have some in every seed."""
    held = {place: [samples.get(record, [0.0]) for record in entry.records] for place, entry in enumerate(entries)}
    costs = {place: median(x for own in of for x in own) for place, of in held.items() if min(map(min, of)) > 0}
    return _Spent(costs, lambda places: exact_cheaper([[x for own in held[place] for x in own] for place in places]))
