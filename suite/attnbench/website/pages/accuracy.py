"""The accuracy page: a task's metric with its seeds, its costs, and what changed over training."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import Literal

from attnbench.analysis.learnt import learnt
from attnbench.analysis.rates import tried
from attnbench.analysis.samples import over_seeds, reached_target, values
from attnbench.analysis.task_metrics import Metric, metric_of
from attnbench.stats import in_groups
from attnbench.website.charts.budgets import LEAD as BUDGET_LEAD
from attnbench.website.charts.budgets import ladder_chart, pilot_chart
from attnbench.website.charts.chart import Chart, Line, Point, line_chart, scatter_chart
from attnbench.website.charts.curves import LEAD, curve_chart, layer_charts
from attnbench.website.charts.dots import Row, dot_chart
from attnbench.website.charts.reference import Reference
from attnbench.website.charts.scales import LOSS, MEMORY, RATE, TARGET_TIME, TEST_RESULTS, TRAINING_TIME, VALIDATION_RESULTS, exact, spaced
from attnbench.website.groups import Group
from attnbench.website.results import Results, by_label
from attnbench.website.tables.learnt import learnt_table
from attnbench.website.tables.table import Table
from attnbench.website.view import Charts, View

Against = Literal["time", "memory"]
COSTS = {"time": ("train_s", TRAINING_TIME, "training time"), "memory": ("peak_memory_bytes", MEMORY, "peak memory")}


def views(results: Results) -> list[View]:
    """One view per task and setting."""
    found = []
    for group in results.groups("task"):
        blocks: list[Table | Charts] = [learnt_table(results, group)]
        if drawn := charts(results, group):
            blocks.append(Charts(drawn))
        if rates := rate_chart(results, group):
            blocks.append(Charts([rates], "Learning rates"))
        if equal := ladder_chart(results, group, metric_of(group.records)):
            blocks.append(Charts([equal], "In equal time"))
        if pilot := pilot_chart(results, group, metric := metric_of(group.records), chance(metric, group)):
            blocks.append(Charts([pilot], "Budget", BUDGET_LEAD))
        if costly := [c for c in (pareto(results, group, "memory"), target_chart(results, group)) if c]:
            blocks.append(Charts(costly, "What it costs"))
        if state := layer_charts(results, group):
            blocks.append(Charts(state, "Inside the model", LEAD))
        found.append(View(group.axes, blocks, group.title, group.name))
    return found


def charts(results: Results, group: Group) -> list[Chart]:
    """The metric with seeds, the metric against time, and the two curves; only those that have data."""
    metric = metric_of(group.records)
    validation = f"Validation {metric.title} over training"
    found = (
        seeds_chart(results, group),
        pareto(results, group, "time"),
        curve_chart(results, group, f"validation_{metric.name}", validation, VALIDATION_RESULTS[metric.name], chance(metric, group)),
        curve_chart(results, group, "train_loss", "Training loss over training", LOSS),
    )
    return [chart for chart in found if chart]


def seeds_chart(results: Results, group: Group) -> Chart | None:
    """The chart of every seed, their mean and its interval, by variant; no mean where seeds fall into groups."""
    metric = metric_of(group.records)
    learnable = metric.learnable(group.records)
    rows: list[Row] = []
    for label, mine in by_label(results, group.records).items():
        found = learnt(results.standings, mine, label, metric.name)
        if found:
            mean, seeds = found
            rows.append((label, results.styles[mine[0].spec.variant], None if in_groups(seeds, learnable) else mean, seeds))
    reach = [v for *_, mean, seeds in rows for v in (*((mean.low, mean.high) if mean else ()), *seeds)]
    x = spaced(TEST_RESULTS[metric.name], reach, room=0.1)
    title = f"Test {metric.title}, {_task(group)}"
    return dot_chart(title, x, rows, f"Test {metric.title} · {group.title}", chance(metric, group)) if x else None


def rate_chart(results: Results, group: Group) -> Chart | None:
    """The chart of the metric on the validation part at every rate that was tried, mean over the seeds of the trials."""
    metric = metric_of(group.records)
    styles = results.style_of_label
    found = tried(results.trials, group.records[0], metric.name) if group.records[0].spec.lr_grid is not None else {}
    lines = [
        Line(label, styles[label], [Point(rate, value) for rate, value in of.reached.items()]) for label, of in found.items() if of.reached
    ]
    x = exact(RATE, [p.x for line in lines for p in line.points])
    y = spaced(VALIDATION_RESULTS[metric.name], [p.y for line in lines for p in line.points], room=0.14)
    title = f"Validation {metric.title} against the learning rate, {_task(group)}"
    out = ", ".join(f"{label} at {', '.join(f'{rate:g}' for rate in of.diverged)}" for label, of in sorted(found.items()) if of.diverged)
    chart = line_chart(title, x, y, lines, caption=f"{title} · {group.title}") if x and y else None
    return replace(chart, notes=(*chart.notes, f"Diverged: {out}.")) if chart and out else chart


def pareto(results: Results, group: Group, against: Against) -> Chart | None:
    """The chart of the metric against training time or memory; mechanisms that are surely dominated are hollow."""
    metric = metric_of(group.records)
    cost, kind, told = COSTS[against]
    places = results.standings.frontier(against, group.records[0])
    lines = []
    for label, mine in by_label(results, group.records).items():
        reached, spent = learnt(results.standings, mine, label, metric.name), [x for r in mine if r.status == "ok" for x in values(r, cost)]
        if reached and spent and median(spent) > 0:
            mean, place = reached[0], places.get(label, "")
            low, high = (mean.low, mean.high) if mean.confidence else (None, None)
            point = Point(median(spent), mean.value, low, high, f" · {place}" if place else "", place == "dominated")
            lines.append(Line(label, results.styles[mine[0].spec.variant], [point]))
    x = spaced(kind, [p.x for line in lines for p in line.points], room=0.12)
    y = spaced(TEST_RESULTS[metric.name], [v for line in lines for p in line.points for v in (p.low or p.y, p.high or p.y)], room=0.12)
    title = f"{metric.title.capitalize()} against {told}, {_task(group)}"
    better = f"Better is {'up' if metric.more_is_better else 'down'} and to the left."
    held = [label for label, place in sorted(places.items()) if place == "frontier"]
    hollow = "Hollow: surely dominated." if "dominated" in places.values() else ""
    notes = (better, f"On the frontier: {', '.join(held)}." if held else "", hollow)
    return scatter_chart(title, x, y, lines, f"{title} · {group.title}", [note for note in notes if note]) if x and y else None


def target_chart(results: Results, group: Group) -> Chart | None:
    """The chart of the training time until the task's target was reached, for every seed that reached it."""
    rows, never = [], []
    for label, mine in by_label(results, group.records).items():
        if reached := over_seeds(mine, "time_to_target_s"):
            rows.append((label, results.styles[mine[0].spec.variant], *reached))
        elif any(r.status == "ok" for r in mine) and not any(map(reached_target, mine)):
            never.append(label)
    x = spaced(TARGET_TIME, [v for *_, mean, seeds in rows for v in (mean.low, mean.high, *seeds)], room=0.1)
    title = f"Training time to target, {_task(group)}"
    notes = (f"Never reached: {', '.join(never)}.",) if never else ()
    return dot_chart(title, x, rows, f"{title} · {group.title}", notes=notes) if x else None


def chance(metric: Metric, group: Group) -> Reference | None:
    """The value of guessing by frequency alone, as a reference line; None where it was not measured."""
    value = metric.known_nothing(group.records)
    return None if value is None else Reference(value, metric.chance_text(group.records))


def _task(group: Group) -> str:
    return group.records[0].spec.task_label()
