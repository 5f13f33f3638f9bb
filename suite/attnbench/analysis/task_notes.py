"""What is said of a task's table: which differences it can show, what a model without attention reaches, what its results do not say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attnbench.analysis.labels import clip
from attnbench.analysis.marks import Kind, Mark, Reached, marks_of, seeds_asked
from attnbench.analysis.standings import Standings
from attnbench.analysis.task_metrics import Metric
from attnbench.store.controls import Control, control_of
from attnbench.store.record import Record

OUT = "takes no part in average ranks"
SENTENCES: Mapping[Kind, str] = {
    "saturated": f"Here {{why}}: the task orders nothing, and {OUT}.",
    "not about attention": f"This task says nothing about attention: {{why}}, and it {OUT}.",
    "below classical": "Read it with care: {why}.",
}


def resolution_text(standings: Standings, record: Record, metric: Metric) -> str:
    """The smallest difference that the table of a record's setting can show, as a sentence; "" where softmax has fewer than two seeds."""
    half = standings.half_width(record)
    if half is None:
        return ""
    rows = " and other rows of the test part" if record.measurements.get("asked_by_block") else ""
    return (
        f"Resolution: two equal mechanisms with as many seeds{rows} differ by up to {metric.half(half)}{metric.points} in 95 % of cases, "
        "as softmax's own seeds show."
    )


def control_beside(controls: Iterable[Control], record: Record) -> Control | None:
    """What a model without attention reaches on the task and the data of a record; None where that was not measured."""
    spec, fingerprint = record.spec, record.environment.get("data_fingerprint")
    known = fingerprint if isinstance(fingerprint, str) else None
    return control_of(controls, str(spec.task), spec.task_params, spec.data, spec.causal, known)


def control_text(control: Control | None, metric: Metric) -> str:
    """What a model without attention reaches, as a sentence; "" where that was not measured in this metric."""
    if control is None or control.metric != metric.name:
        return ""
    return f"Without attention: {clip(control.model, 80)} reaches {metric.told(control.value)}, trained on the whole training part."


def marks_of_table(standings: Standings, record: Record, metric: Metric, control: Control | None) -> list[Mark]:
    """The marks of the table of a record's setting. control: of its task (control_beside)."""
    reached = {
        label: Reached(place.interval.value, place.processes, place.ties)
        for label, place in standings.places("result", record).items()
        if place.rank and place.interval
    }
    classical = control.value if control and control.metric == metric.name else None
    return marks_of(metric.name, reached, seeds_asked(record.spec.protocol), classical)


def mark_texts(marks: Iterable[Mark]) -> list[str]:
    """Marks as sentences."""
    return [SENTENCES[mark.kind].format(why=mark.why) for mark in marks]
