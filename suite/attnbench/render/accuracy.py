"""What was learnt: accuracy by task with its seeds, what it cost, and the training curves."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from attnbench.record import Record
from attnbench.render.board import accuracy_table
from attnbench.render.charts import Chart, Line, Point, line_chart, scatter_chart
from attnbench.render.dots import dot_chart
from attnbench.render.results import Group, Results, over_seeds
from attnbench.render.scales import ACCURACY, LOSS, TRAINING_TIME, VALIDATION, Kind, spaced
from attnbench.render.scaling import by_label
from attnbench.render.view import Charts, View


def views(results: Results) -> list[View]:
    """One view per task and setting."""
    found = []
    for group in results.groups("task"):
        drawn = charts(results, group)
        found.append(View(group.axes, [accuracy_table(results, group), *([Charts(drawn)] if drawn else [])], group.title))
    return found


def charts(results: Results, group: Group) -> list[Chart]:
    """Accuracy with seeds, accuracy against time, and the two curves; only those that have data."""
    found = (
        seeds_chart(results, group),
        pareto(results, group),
        curve_chart(results, group, "validation_accuracy", "Validation accuracy over training", VALIDATION),
        curve_chart(results, group, "train_loss", "Training loss over training", LOSS),
    )
    return [chart for chart in found if chart]


def seeds_chart(results: Results, group: Group) -> Chart | None:
    """Every seed, their mean and its interval, by variant."""
    rows = []
    for label, mine in by_label(results, group.records).items():
        found = over_seeds(mine, "accuracy")
        if found:
            rows.append((label, results.styles[mine[0].spec.variant], *found))
    x = spaced(ACCURACY, [v for *_, mean, seeds in rows for v in (mean.low, mean.high, *seeds)], room=0.1)
    return dot_chart(f"Test accuracy, {_task(group)}", x, rows, f"Test accuracy · {group.title}") if x else None


def pareto(results: Results, group: Group) -> Chart | None:
    """Accuracy against training time: up and to the left is better."""
    lines = []
    for label, mine in by_label(results, group.records).items():
        accuracy, time = over_seeds(mine, "accuracy"), over_seeds(mine, "train_s")
        if accuracy and time and time[0].value > 0:
            mean = accuracy[0]
            bounds = (mean.low, mean.high) if mean.confidence else (None, None)
            lines.append(Line(label, results.styles[mine[0].spec.variant], [Point(time[0].value, mean.value, *bounds)]))
    x = spaced(TRAINING_TIME, [p.x for line in lines for p in line.points], room=0.12)
    y = spaced(ACCURACY, [v for line in lines for p in line.points for v in (p.low or p.y, p.high or p.y)], room=0.12)
    title = f"Accuracy against training time, {_task(group)}"
    return scatter_chart(title, x, y, lines, f"{title} · {group.title}") if x and y else None


def curve_chart(results: Results, group: Group, column: str, title: str, kind: Kind) -> Chart | None:
    """One column of the training curves against the seconds trained, the mean over seeds at each epoch."""
    lines = [
        Line(label, results.styles[mine[0].spec.variant], points)
        for label, mine in by_label(results, group.records).items()
        if (points := _mean_curve(mine, column))
    ]
    x = spaced(TRAINING_TIME, [p.x for line in lines for p in line.points])
    y = spaced(kind, [p.y for line in lines for p in line.points])
    return line_chart(title, x, y, lines, caption=f"{title} · {group.title}") if x and y else None


def _mean_curve(records: Sequence[Record], column: str) -> list[Point]:
    """Mean over seeds, epoch by epoch; epochs at which a seed has no finite value are left out for it."""
    epochs: dict[int, list[tuple[float, float]]] = {}
    for record in records:
        for epoch, (wall, value) in enumerate(zip(record.curve.get("wall_s", []), record.curve.get(column, []), strict=False)):
            if wall is not None and value is not None and wall > 0:
                epochs.setdefault(epoch, []).append((wall, value))
    return [
        Point(statistics.fmean(w for w, _ in pairs), statistics.fmean(v for _, v in pairs), note=f" (epoch {epoch + 1})")
        for epoch, pairs in sorted(epochs.items())
    ]


def _task(group: Group) -> str:
    return str(group.records[0].spec.task)
