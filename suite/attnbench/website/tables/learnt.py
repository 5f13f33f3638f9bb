"""The table of a task's setting: the test result of each mechanism, its learning rate, and its costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from attnbench.analysis.budgets import gains_of
from attnbench.analysis.diverged import diverged_text
from attnbench.analysis.labels import rate_text, rates_text
from attnbench.analysis.learnt import learnt, training_notes
from attnbench.analysis.number_format import count, percent, plain, seconds, size
from attnbench.analysis.rates import Tried, tried
from attnbench.analysis.samples import least_trusted, over_seeds, reached_target, single
from attnbench.analysis.standing import Standing
from attnbench.analysis.task_metrics import Metric, metric_of
from attnbench.analysis.task_notes import control_text, mark_texts, marks_of_table, resolution_text
from attnbench.analysis.training_time import TIMED_ON
from attnbench.stats import Interval, in_groups
from attnbench.store.disturbed import disturbance
from attnbench.store.record import Record
from attnbench.website.groups import Group
from attnbench.website.links import cell_href
from attnbench.website.results import Results, by_label
from attnbench.website.tables.costs import in_order, row_data
from attnbench.website.tables.table import (
    EMPTY,
    Cell,
    Column,
    Table,
    Value,
    bounds_data,
    interval_text,
    linear_bar,
    linear_scale,
    rank_cell,
    status_cell,
    variant_cell,
)

TIES = (
    "Ranks are ranges: two mechanisms are ordered only where Welch's test over seeds, and over the rows of the test part where these are "
    "known, tells them apart, with at most 5 % of such statements false."
)
RETRIEVAL = "retrieval_accuracy"
COSTS = (
    "train_s", "training_tokens_per_s", "time_to_target_s", "inference_tokens_per_s", "peak_memory_bytes", "parameters", "training_flops",
)  # fmt: skip
PLATEAU = (
    "The plateau is the range of rates, in powers of ten, at which a mechanism is about as good on the validation part as at its best."
)
Means = dict[str, tuple[Interval, list[float]]]


def learnt_table(results: Results, group: Group) -> Table:
    """The table of mechanisms by the task's metric on the test part, with the seeds of each in one row."""
    metric = metric_of(group.records)
    seeds = by_label(results, group.records)
    places = results.standings.places("result", group.records[0])
    means = means_of(results, seeds, metric)
    rate_was_chosen = group.records[0].spec.lr_grid is not None
    tuned = tried(results.trials, group.records[0], metric.name) if rate_was_chosen else {}
    more = [of for of in _more(metric) if any(single(record, of[0]) is not None for record in group.records)]
    learnable = metric.learnable(group.records)
    gains = gains_of(seeds, metric.name)
    inferred = any(single(record, "inference_tokens_per_s") for record in group.records)  # in older records
    whole = {label: found for label, found in means.items() if not in_groups(found[1], learnable)}
    on = linear_scale([mean for mean, _ in whole.values()])
    ends = f"{metric.show(on[0])} to {metric.show(on[1])}" if on else ""
    result = Column(f"Test {metric.title}", "mean over seeds", key=metric.name, falling=metric.more_is_better)
    columns = [
        Column("Rank", key="rank"), Column("Variant", kind="text", key="name"), result, Column("95 % interval", ends, "interval"),
        Column("Seeds"), *([Column("Rate", "plateau" if tuned else "chosen")] if rate_was_chosen else []),
        *(Column(title, small, key=name, falling=metric.more_is_better or name == RETRIEVAL) for name, title, small in more),
        Column("Training", "tokens/s", key="train_s"),
        Column("To target", "validation", key="time_to_target_s"),
        *([Column("Inference", "tokens/s", key="inference_tokens_per_s", falling=True)] if inferred else []),
        Column("Memory", "peak", key="peak_memory_bytes"),
        Column("Parameters", "own", key="parameters"),
        *([Column("FLOPs", "of training", key="training_flops")] if any(single(r, "training_flops") for r in group.records) else []),
    ]  # fmt: skip

    def small(label: str) -> str:
        return "seeds, no mean" if label not in whole else "still learning" if label in gains else ""

    def row(record: Record) -> list[Cell]:
        label = results.label(record)
        records = seeds[label]
        head = [rank_cell(places.get(label)), variant_cell(results, record)]
        if label not in means:
            return [*head, status_cell(record, len(columns) - len(head))]
        interval, samples = means[label]
        bounds = interval_text(interval, metric.show) if interval.confidence else "1 seed, no interval"
        spread = Cell(bounds, kind="interval", bar=linear_bar(interval, on) if on else None)
        return [
            *head,
            Cell(metric.over_seeds_text(interval, samples, learnable), small(label), href=cell_href(record)),
            spread if label in whole else Cell("seeds in groups", kind="interval"),
            _seeds_cell(records, len(samples)),
            *([_rate_cell(records, tuned.get(label))] if rate_was_chosen else []),
            *(_mean(records, name, percent if name == RETRIEVAL else metric.show) for name, _, _ in more),
            _if_undisturbed(
                _mean(records, "train_s", seconds)._replace(small=_mean(records, "training_tokens_per_s", plain).text), records
            ),
            _if_undisturbed(_target_cell(records), records),
            *([_mean(records, "inference_tokens_per_s", plain)] if inferred else []),
            _mean(records, "peak_memory_bytes", size),
            _parameters_cell(records),
            *([_mean(records, "training_flops", count)] if columns[-1].key == "training_flops" else []),
        ]

    shown = in_order(results, [records[0] for records in seeds.values()], places)
    chosen = f"For each mechanism the learning rate was chosen by itself, on the validation part ({rate_text(group.records[0].spec)})."
    grouped = metric.groups_text(group.records, [of_seeds for _, of_seeds in means.values()])
    first, control = group.records[0], results.control(group.records[0])
    notes = (
        TIES, resolution_text(results.standings, first, metric), metric.chance_text(group.records), control_text(control, metric),
        chosen if rate_was_chosen else "", *training_notes(seeds), PLATEAU if tuned else "", _timed_on(group), grouped,
        metric.gains_text(gains), *mark_texts(marks_of_table(results.standings, first, metric, control)),
    )  # fmt: skip
    data = [
        _data(results, metric, seeds[label], places.get(label), means.get(label), label in whole) for label in map(results.label, shown)
    ]
    return Table(f"Task · {group.title}", columns, [row(r) for r in shown], tuple(note for note in notes if note), data)


def _more(metric: Metric) -> list[tuple[str, str, str]]:
    """What else may be tested, by its name in a record, title and what stands below it."""
    longer = [(f"{metric.name}_at_{factor}x", f"At {factor}×", "the length") for factor in (2, 4)]
    return [*longer, (RETRIEVAL, "Recall", "of what stands there")]


def _rate_cell(records: Sequence[Record], of: Tried | None) -> Cell:
    """The rates of a mechanism's runs, with the width of the plateau around the best in decades."""
    found = of.plateau if of else None
    if found is None:
        return Cell(rates_text(records))
    open_ended = "≥ " if found.is_open_low or found.is_open_high else ""
    return Cell(rates_text(records), f"{open_ended}{found.decades:.1f} decades", f"{found.low:.2g} to {found.high:.2g}")


def _timed_on(group: Group) -> str:
    """What the times of training runs are, of which none counts by itself; "" where older records measured them."""
    if on := next((record.environment[TIMED_ON] for record in group.records if TIMED_ON in record.environment), None):
        return f"Training times are those of {on}: the steps of a run times the seconds of a step, which was timed apart and alone."
    if any(single(record, "train_s") for record in group.records):
        return f"Older records: training was timed as it ran, on {group.machine}, with all its threads."
    trained = any(single(record, "steps") for record in group.records)
    return "" if not trained else "No times: no machine has timed a training step of these models yet (the step track)."


def _data(
    results: Results,
    metric: Metric,
    records: Sequence[Record],
    place: Standing | None,
    mean: tuple[Interval, list[float]] | None,
    whole: bool,
) -> dict[str, Value]:
    """The raw values of the row of a mechanism. whole: whether the mean stands for its seeds; if not, it is left out."""
    name, interval = metric.name or "result", mean[0] if mean and whole else None
    found: dict[str, Value] = {
        **row_data(results, replace(records[0], origin=least_trusted(records)), place),
        "seeds": len(records),
        "seeds_that_gave_a_number": len(mean[1]) if mean else 0,
        "seeds_in_groups": mean is not None and not whole,
    }
    found |= bounds_data(name, interval)
    for cost in COSTS:
        told = over_seeds(records, cost)
        found[cost] = told[0].value if told else None
    return found


def means_of(results: Results, seeds: dict[str, list[Record]], metric: Metric) -> Means:
    """Mean, interval and seeds of the metric on the test part, by label, for the mechanisms that have one."""
    found = {label: learnt(results.standings, records, label, metric.name) for label, records in seeds.items()}
    return {label: of for label, of in found.items() if of}


def _target_cell(records: Sequence[Record]) -> Cell:
    """The cell of the seconds of training until the validation part first reached the task's target, mean over the seeds that did."""
    done = sum(r.status == "ok" for r in records)
    reached = over_seeds(records, "time_to_target_s")
    if reached is None:
        is_never = done and not any(map(reached_target, records))
        return Cell("never", title="no seed reached the target", kind="number none") if is_never else EMPTY
    mean, times = reached
    missing = done - len(times)
    return Cell(seconds(mean.value), f"{missing} of {done} never" if missing else "", interval_text(mean, seconds))


def _if_undisturbed(cell: Cell, records: Sequence[Record]) -> Cell:
    """The cell of a time; where other programs used the processors meanwhile it opens to that, for results count all the same."""
    why = next((why for record in records if (why := disturbance(record))), None)
    return cell._replace(kind="number warn", told=(f"This time does not count: {why}. The result is no time, and does.",)) if why else cell


def _seeds_cell(records: Sequence[Record], given: int) -> Cell:
    told = f"{given} of {len(records)}" if len(records) > given else f"{given}"
    diverged = diverged_text(records)
    return Cell(told, f"{diverged} diverged", kind="number warn") if diverged else Cell(told)


def _parameters_cell(records: Sequence[Record]) -> Cell:
    """The cell of the number of the model's parameters, the same for all seeds, and the number that are the mechanism's own."""
    total, own = over_seeds(records, "parameters"), over_seeds(records, "mechanism_parameters")
    return Cell(count(total[0].value), f"+{count(own[0].value)}" if own else "") if total else EMPTY


def _mean(records: Sequence[Record], metric: str, show: Callable[[float], str]) -> Cell:
    found = over_seeds(records, metric)
    return Cell(show(found[0].value), title=interval_text(found[0], show), href=cell_href(records[0])) if found else EMPTY
