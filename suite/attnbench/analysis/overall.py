"""Summaries over tasks and settings: average ranks with a critical difference, performance profiles, time to target.

No missing value is filled in. An aggregate lists what was left out of it, and why.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from attnbench import registry
from attnbench.analysis.entries import settings
from attnbench.analysis.labels import Labels
from attnbench.analysis.marks import UNRANKED, Reached, is_control, marks_of, seeds_asked
from attnbench.analysis.ranking import rankings
from attnbench.analysis.scaling import series_of
from attnbench.analysis.settings import BENCH, SETTING, as_texts, comparable, usual
from attnbench.analysis.step_times import of_setting, step_times
from attnbench.stats import AverageRanks, average_of_places, performance_profile, tie_ranks
from attnbench.store.metrics import higher_is_better

if TYPE_CHECKING:
    import pandas as pd

LEAST_SHARE = 0.75  # share of the tasks on which a mechanism must have a result to take part in the average
FACTORS = (1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 100.0)  # of a performance profile


@dataclass(frozen=True)
class Aggregate:
    """Average ranks over tasks of one form and protocol on one bench (machine, device, GPU, threads, dtype and torch).

    causal: whether the tasks' models are. labels: the mechanisms that take part, best average rank first. ranks: their average ranks, in
    the same order. tasks: the tasks that the ranks were averaged over. left_out: the mechanisms, controls and tasks that are not part of
    it, each with the reason. found: the ranks with their statistics; None where fewer than two mechanisms or two tasks are left.
    """

    bench: tuple[str, ...]
    causal: bool
    protocol: str
    labels: tuple[str, ...]
    ranks: tuple[float, ...]
    tasks: tuple[str, ...]
    left_out: tuple[str, ...]
    found: AverageRanks | None

    @property
    def seeds(self) -> int:
        """How many seeds a result must have to take part."""
        return seeds_asked(self.protocol)


@dataclass(frozen=True)
class _Ranked:
    """What a task orders: the values of its mechanisms, more is better, and the labels that each cannot be told from."""

    values: dict[str, float]
    ties: dict[str, tuple[str, ...]]

    def places(self, labels: Sequence[str]) -> list[float]:
        """The ranks of some mechanisms among themselves, by groups of ties."""
        beats = [[other not in self.ties[label] and self.values[label] > self.values[other] for other in labels] for label in labels]
        return tie_ranks(np.array(beats))


def task_ranks(table: pd.DataFrame, block: str = "residual", labels: Labels | None = None) -> list[Aggregate]:
    """Average ranks over tasks with Nemenyi's critical difference, one aggregate for each bench, form (causal or not) and protocol.

    block: the kind of block whose models are ranked; those with an option, such as a token shift, take no part. The rank of a mechanism on
    a task is the middle of those that it could have (stats.tie_ranks), so that what no test tells apart counts as equal. Where a task was
    run with several depths or recipes, the one with most mechanisms that have as many seeds as the protocol asks for counts. A mechanism
    that has such a result on less than three quarters of the tasks is left out; then every task is left out on which one of the remaining
    mechanisms has none. Before that, tasks are left out that say nothing of attention: those that all solve, above an accuracy of .999, and
    those on which uniform or identity attention cannot be told from softmax, all with the seeds that the protocol asks for.

    The controls, identity and uniform, do not compete: no average holds them, they count for no recipe, and a task can be solved by all
    but them. In the tables of tasks they have a rank as others do.
    """
    rows = rankings(table[(table["block"] == block).to_numpy() & usual(table)], "task", labels)["result"]
    texts = zip(*(rows[name].tolist() for name in ("task", "task_params", "data")), strict=True)
    rows = rows.assign(name=[_name(*of) for of in texts])
    found = []
    for (causal, protocol, *bench), mine in rows.groupby(["causal", "protocol", *BENCH], sort=True, dropna=False):
        empty = Aggregate(as_texts(bench), bool(causal), str(protocol), (), (), (), (), None)
        scores: dict[str, _Ranked] = {}
        marked: list[str] = []
        for name, of_task in mine.groupby("name", sort=True):
            held = _counting(of_task, empty.seeds)
            if held.empty:
                scores[str(name)] = _Ranked({}, {})
                continue
            metric, rows_held = held["metric"].iloc[0], zip(held["label"], held["value"], held["records"], held["ties"], strict=True)
            reached = {label: Reached(value, seeds, ties) for label, value, seeds, ties in rows_held}
            if why := next((mark.why for mark in marks_of(metric, reached, empty.seeds) if mark.kind in UNRANKED), None):
                marked.append(f"{name}: {why}, so that it orders nothing")
                continue
            scores[str(name)] = _ranked(metric, reached)
        everyone = sorted(set(mine["label"]))
        aside = [f"{label}: a control, which does not compete" for label in everyone if is_control(label)]
        found.append(_aggregate(empty, scores, [label for label in everyone if not is_control(label)], [*marked, *aside]))
    return found


def _ranked(metric: str, reached: Mapping[str, Reached]) -> _Ranked:
    """What a task orders: the mechanisms, controls aside."""
    sign, competing = 1.0 if higher_is_better(metric) else -1.0, {label: of for label, of in reached.items() if not is_control(label)}
    values = {label: sign * rounded(of.value) for label, of in competing.items()}
    return _Ranked(values, {label: of.ties for label, of in competing.items()})


def _name(task: str, params: object, data: object) -> str:
    """A task as an aggregate names it."""
    posed = f"{task}, {params}" if isinstance(params, str) else task
    return f"{posed} ({data})" if isinstance(data, str) else posed


def _counting(rows: pd.DataFrame, seeds: int) -> pd.DataFrame:
    """The rows of the recipe of a task in which most mechanisms have so many seeds: these mechanisms, and the controls that have them."""
    recipes = [of for _, of in rows.groupby([c for c in SETTING["task"] if c not in ("machine", "data")], sort=True, dropna=False)]
    enough = (of[((of["status"] == "ok") & (of["records"] >= seeds)).to_numpy()] for of in recipes)
    return max(enough, key=lambda of: (sum(not is_control(label) for label in of["label"]), len(of)))


def _aggregate(empty: Aggregate, given: dict[str, _Ranked], everyone: Sequence[str], marked: Sequence[str]) -> Aggregate:
    """The aggregate of one bench. given: what each task orders; everyone: all labels but controls'; marked: what else is left out."""
    scores = {task: of for task, of in given.items() if of.values}
    out = [*marked, *(f"{task}: no mechanism has {empty.seeds} seeds" for task in sorted(given.keys() - scores.keys()))]
    seen = {label: sum(label in of.values for of in scores.values()) for label in everyone}
    labels = [label for label in everyone if seen[label] >= LEAST_SHARE * len(scores)]
    out += [f"{label}: {empty.seeds} seeds of {seen[label]} of {len(scores)} tasks" for label in everyone if label not in labels]
    tasks = []
    for task, of in sorted(scores.items()):
        lacking = [label for label in labels if label not in of.values]
        if lacking:
            out.append(f"{task}: no result of {', '.join(lacking)}")
        else:
            tasks.append(task)
    if len(labels) < 2 or len(tasks) < 2:
        return replace(empty, labels=tuple(labels), tasks=tuple(tasks), left_out=tuple(out))
    ranks = average_of_places(np.array([scores[task].places(labels) for task in tasks]))
    order = sorted(range(len(labels)), key=lambda i: (ranks.ranks[i], labels[i]))
    sorted_ranks = [ranks.ranks[i] for i in order]
    found = AverageRanks(sorted_ranks, ranks.critical_difference, ranks.friedman_p, ranks.beats[np.ix_(order, order)])
    best = tuple(labels[i] for i in order)
    return replace(empty, labels=best, ranks=tuple(sorted_ranks), tasks=tuple(tasks), left_out=tuple(out), found=found)


def lengths_text(tasks: Iterable[str]) -> str:
    """The sequence lengths N of an aggregate's tasks, the least and the most, as text; empty where no task is registered here."""
    known = set(registry.names("tasks"))
    found = set()
    for task in tasks:
        if (name := task.partition(" (")[0]) in known:
            with suppress(Exception):  # of a plug-in that computes its length and cannot be imported here
                found.add(int(registry.field("tasks", name, "seq_len")))
    return "" if not found else f"N {min(found):,}" if len(found) == 1 else f"N {min(found):,} to {max(found):,}"


def rounded(mean: float) -> float:
    """A mean rounded to 12 digits: sums of the same values in another order differ in later digits."""
    return float(f"{mean:.12g}")


def profile(table: pd.DataFrame, mode: str, factors: Sequence[float] = FACTORS) -> pd.DataFrame:
    """Performance profile of times over the lengths of every setting: the share of lengths at which a mechanism takes at most a factor
    times what the fastest does.

    Columns: the setting's without seq_len; label, variant; lengths, how many; one for each factor. The lengths are those at which at least
    half of the mechanisms were run, and the mechanisms those that were run at all of these lengths. A cell that ran out of memory or time,
    was wrong or failed is within no factor, and neither are the longer cells that were skipped because of it. A cell that was skipped for
    another reason counts as not run.
    """
    import pandas as pd

    found: list[tuple[Any, ...]] = []
    axes = [name for name in SETTING["kernel"] if name != "seq_len"]
    for setting, series in series_of(table[(table["mode"] == mode).to_numpy()], "time", "kernel"):
        costs = {one.label: {n: math.inf if cost is None else cost.value for n, cost in one.known().items()} for one in series.values()}
        lengths = [n for n in sorted({n for of in costs.values() for n in of}) if 2 * sum(n in of for of in costs.values()) >= len(costs)]
        labels = sorted(label for label, of in costs.items() if all(n in of for n in lengths))
        if labels and lengths:
            shares = performance_profile([[costs[label][n] for label in labels] for n in lengths], factors)
            found += [(*setting, label, series[label].variant, len(lengths), *share) for label, share in zip(labels, shares, strict=True)]
    return pd.DataFrame(found, columns=[*axes, "label", "variant", "lengths", *factors])


def time_to_target(table: pd.DataFrame, labels: Labels | None = None) -> pd.DataFrame:
    """Seconds of training until the validation part first reached the task's target, in every setting.

    They are the steps until then times the seconds of a step, which are timed apart (step_times); older records measured them.

    Columns: the setting's; label, variant; reached: the number of seeds that reached the target; seeds: the number of seeds; value, low,
    high: median and range of the times of those that reached it; timed_on: the machine and threads whose seconds they are, missing where
    that is the setting's. A seed that did not reach it is counted in `seeds` and gives no time. Mechanisms whose times do not count are
    left out.
    """
    import pandas as pd

    found: list[tuple[Any, ...]] = []
    steps = step_times(table, labels)
    for setting, entries, lookup in settings(comparable(table, "task", labels), "task", ("steps", "steps_to_target", "time_to_target_s")):
        timed = of_setting(steps, setting)
        for entry in entries:
            where = None
            if any(record in lookup["steps"] for record in entry.records):
                reached, factor = lookup["steps_to_target"], timed.seconds(entry.label) if timed else None
                where = timed.where if timed else None
            else:
                reached, factor = lookup["time_to_target_s"], None if entry.flag or entry.drift else 1.0
            if factor is None:
                continue
            times = [reached[record][0] * factor for record in entry.records if record in reached]
            numbers = (median(times), min(times), max(times)) if times else (math.nan,) * 3
            done = sum(status == "ok" for status in entry.statuses)
            found.append((*setting, entry.label, entry.variant, len(times), done, *numbers, where))
    names = ("label", "variant", "reached", "seeds", "value", "low", "high", "timed_on")
    return pd.DataFrame(found, columns=[*SETTING["task"], *names])
