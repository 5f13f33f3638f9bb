"""Charts of how long training is: softmax with doubled budgets, as the pilot has it, and all mechanisms with parts of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from attnbench.analysis.budgets import by_budget
from attnbench.analysis.learnt import learnt
from attnbench.analysis.samples import BASELINE, values
from attnbench.analysis.settings import setting_of
from attnbench.analysis.task_metrics import Metric
from attnbench.spec.protocol import PROTOCOLS
from attnbench.stats.budget import doubling_gains
from attnbench.store.record import Record
from attnbench.website.charts.chart import Chart, Line, Point, line_chart, scatter_chart
from attnbench.website.charts.reference import Reference
from attnbench.website.charts.scales import EPOCHS, TEST_RESULTS, TRAINING_TIME, VALIDATION_RESULTS, exact, spaced
from attnbench.website.groups import Group
from attnbench.website.results import Results, by_label

LEAD = (
    "A budget is chosen by softmax alone, before anything else is run: complete runs with doubled epochs, until a doubling gains less than "
    "the margin and softmax knows more than frequencies, or so long as is allowed for its cost. All mechanisms then train as long."
)


def pilot_chart(results: Results, group: Group, metric: Metric, nothing: Reference | None) -> Chart | None:
    """The chart of what softmax reaches with doubled budgets, at the best rate of each; None where there was no pilot of the task."""
    record = group.records[0]
    reached = by_budget(results.trials, record, metric.name)
    style = results.style_of_label.get(BASELINE)
    x = exact(EPOCHS, map(float, reached))
    y = spaced(VALIDATION_RESULTS[metric.name], reached.values(), room=0.14)
    if not x or not y or style is None:
        return None
    title = f"Validation {metric.title} of {BASELINE} against the budget, {record.spec.task_label()}"
    margin = PROTOCOLS[record.spec.protocol].margins.get(metric.name) if record.spec.protocol in PROTOCOLS else None
    used = record.spec.tuned_epochs or record.spec.epochs
    told = [f"The budget here is {used} epochs."]
    if margin:
        told.append(f"The margin is {metric.half(margin)}{metric.points}.")
        if used in reached and doubling_gains(reached, used, margin, metric.more_is_better):
            told.append(f"Twice as many epochs still gain {metric.half(abs(reached[2 * used] - reached[used]))}{metric.points}.")
    notes = (" ".join(told),)
    points = [Point(float(epochs), value) for epochs, value in reached.items()]
    return line_chart(title, x, y, [Line(BASELINE, style, points)], caption=f"{title} · {group.title}", notes=notes, reference=nothing)


def ladder_chart(results: Results, group: Group, metric: Metric) -> Chart | None:
    """The chart of what mechanisms reach in equal time: the ends of complete runs of parts of the budget, joined; None without such."""
    rungs = results.ladders.get(setting_of(group.records[0]), {})
    lines = []
    for label, first in by_label(results, group.records).items():
        points = [p for runs in rungs.values() if (p := _end(results, [r for r in runs if results.label(r) == label], label, metric))]
        if len(points) > 1:
            lines.append(Line(label, results.styles[first[0].spec.variant], points))
    x = spaced(TRAINING_TIME, [p.x for line in lines for p in line.points], room=0.12)
    y = spaced(TEST_RESULTS[metric.name], [v for line in lines for p in line.points for v in (p.low or p.y, p.high or p.y)], room=0.12)
    title = f"Test {metric.title} in equal time, {group.records[0].spec.task_label()}"
    *fewer, most = map(str, rungs or (0,))
    told = " and ".join(filter(None, (", ".join(fewer), most)))
    note = f"Each point is the end of complete runs, of {told} epochs, whose rate is that of the whole budget; none is from within a run."
    return scatter_chart(title, x, y, lines, f"{title} · {group.title}", (note,), joined=True) if x and y else None


def _end(results: Results, runs: Sequence[Record], label: str, metric: Metric) -> Point | None:
    """Where the runs of a mechanism with one budget end: the time that they take, and what they reach."""
    spent = [seconds for run in runs if run.status == "ok" for seconds in values(run, "train_s")]
    found = learnt(results.standings, runs, label, metric.name) if runs else None
    if not spent or not found:
        return None
    mean, _ = found
    low, high = (mean.low, mean.high) if mean.confidence else (None, None)
    return Point(median(spent), mean.value, low, high, f" · {runs[0].spec.epochs} epochs")
