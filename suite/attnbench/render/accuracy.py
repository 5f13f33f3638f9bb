"""What was learnt: a task's metric with its seeds, what it cost, and what changed over training."""

from __future__ import annotations

from attnbench.render.charts import Chart, Line, Point, scatter_chart
from attnbench.render.curves import LEAD, curve_chart, layer_charts
from attnbench.render.dots import dot_chart
from attnbench.render.learnt import learnt_table
from attnbench.render.metric import Metric, metric_of
from attnbench.render.reference import Reference
from attnbench.render.results import Group, Results, over_seeds
from attnbench.render.scales import LOSS, TRAINING_TIME, spaced
from attnbench.render.scaling import by_label
from attnbench.render.tables import Table
from attnbench.render.view import Charts, View


def views(results: Results) -> list[View]:
    """One view per task and setting."""
    found = []
    for group in results.groups("task"):
        blocks: list[Table | Charts] = [learnt_table(results, group)]
        if drawn := charts(results, group):
            blocks.append(Charts(drawn))
        if state := layer_charts(results, group):
            blocks.append(Charts(state, "Inside the model", LEAD))
        found.append(View(group.axes, blocks, group.title))
    return found


def charts(results: Results, group: Group) -> list[Chart]:
    """The metric with seeds, the metric against time, and the two curves; only those that have data."""
    metric = metric_of(group.records)
    validation = f"Validation {metric.title} over training"
    found = (
        seeds_chart(results, group),
        pareto(results, group),
        curve_chart(results, group, f"validation_{metric.name}", validation, metric.validation, chance(metric, group)),
        curve_chart(results, group, "train_loss", "Training loss over training", LOSS),
    )
    return [chart for chart in found if chart]


def seeds_chart(results: Results, group: Group) -> Chart | None:
    """Every seed, their mean and its interval, by variant."""
    metric = metric_of(group.records)
    rows = []
    for label, mine in by_label(results, group.records).items():
        found = over_seeds(mine, metric.name)
        if found:
            rows.append((label, results.styles[mine[0].spec.variant], *found))
    x = spaced(metric.test, [v for *_, mean, seeds in rows for v in (mean.low, mean.high, *seeds)], room=0.1)
    title = f"Test {metric.title}, {_task(group)}"
    return dot_chart(title, x, rows, f"Test {metric.title} · {group.title}", chance(metric, group)) if x else None


def pareto(results: Results, group: Group) -> Chart | None:
    """The metric against training time: to the left is better, and up or down."""
    metric = metric_of(group.records)
    lines = []
    for label, mine in by_label(results, group.records).items():
        learnt, time = over_seeds(mine, metric.name), over_seeds(mine, "train_s")
        if learnt and time and time[0].value > 0:
            mean = learnt[0]
            bounds = (mean.low, mean.high) if mean.confidence else (None, None)
            lines.append(Line(label, results.styles[mine[0].spec.variant], [Point(time[0].value, mean.value, *bounds)]))
    x = spaced(TRAINING_TIME, [p.x for line in lines for p in line.points], room=0.12)
    y = spaced(metric.test, [v for line in lines for p in line.points for v in (p.low or p.y, p.high or p.y)], room=0.12)
    title = f"{metric.title.capitalize()} against training time, {_task(group)}"
    better = f"Better is {'up' if metric.more_is_better else 'down'} and to the left."
    return scatter_chart(title, x, y, lines, f"{title} · {group.title}", (better,)) if x and y else None


def chance(metric: Metric, group: Group) -> Reference | None:
    """What knowing nothing gives."""
    value = metric.known_nothing(group.records)
    return None if value is None else Reference(value, metric.chance_text(group.records))


def _task(group: Group) -> str:
    return str(group.records[0].spec.task)
