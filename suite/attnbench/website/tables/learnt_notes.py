"""What stands below a task's table: which differences it can show, what models without attention reach, and what it says nothing of."""

from __future__ import annotations

from collections.abc import Mapping

from attnbench.analysis.marks import Mark, marks_of
from attnbench.analysis.standing import Standing
from attnbench.analysis.task_metrics import Metric
from attnbench.store.record import Record
from attnbench.website.groups import Group
from attnbench.website.results import Results
from attnbench.website.tables.table import clip

OUT = "and it takes no part in average ranks"
WORDS = {
    "not about attention": f"This task says nothing about attention: {{why}}, {OUT}.",
    "below classical": "Read it with care: {why}.",
}  # by the kind of a mark; that all solve a task the metric says itself


def resolution_note(results: Results, record: Record, metric: Metric) -> str:
    """The smallest difference that the table of a record's setting can show; "" where softmax has fewer than two seeds."""
    half = results.standings.half_width(record)
    if half is None:
        return ""
    rows = " and other rows of the test part" if record.measurements.get("asked_by_block") else ""
    return (
        f"Resolution: two equal mechanisms with as many seeds{rows} differ by up to {metric.half(half)}{metric.points} in 95 % of cases, "
        "as softmax's own seeds show."
    )


def control_note(results: Results, record: Record, metric: Metric) -> str:
    """What a model without attention reaches on the task of a record; "" where that was not measured."""
    control = results.control(record)
    if control is None or control.metric != metric.name:
        return ""
    return f"Without attention: {clip(control.model, 80)} reaches {metric.told(control.value)}, trained on the whole training part."


def marks(results: Results, group: Group, metric: Metric) -> list[Mark]:
    """The marks of a group's table."""
    record = group.records[0]
    places: Mapping[str, Standing] = results.standings.places("result", record)
    ranked = {label: place for label, place in places.items() if place.rank and place.interval}
    values = {label: place.interval.value for label, place in ranked.items() if place.interval}
    control = results.control(record)
    classical = control.value if control and control.metric == metric.name else None
    return marks_of(metric.name, values, {label: place.ties for label, place in ranked.items()}, classical)


def mark_notes(found: list[Mark]) -> list[str]:
    """Marks as sentences."""
    return [WORDS[mark.kind].format(why=mark.why) for mark in found if mark.kind in WORDS]
