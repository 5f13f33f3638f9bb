"""The table of a task's setting: what each mechanism learnt, at which rate, and what that cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from attnbench.record import Record
from attnbench.render.costs import in_order
from attnbench.render.metric import Metric, metric_of
from attnbench.render.quantity import count, plain, seconds, size
from attnbench.render.results import Group, Results, over_seeds, rate, rates, single, values
from attnbench.render.scaling import by_label
from attnbench.render.tables import EMPTY, Cell, Column, Table, href, interval_text, rank_text, status_cell, variant_cell
from attnbench.stats import Interval, rank_ranges, scoring_higher

TIES = (
    "Ranks are ranges: two mechanisms are ordered only where a test paired by seed tells them apart, "
    "with at most 5 % of such statements false."
)
Means = dict[str, tuple[Interval, list[float]]]


def learnt_table(results: Results, group: Group) -> Table:
    """Mechanisms by the task's metric on the test part, seeds together."""
    metric = metric_of(group.records)
    seeds = by_label(results, group.records)
    means = means_of(seeds, metric)
    places = places_of(seeds, metric)
    is_tuned = group.records[0].spec.lr_grid is not None
    columns = [
        Column("Rank"), Column("Variant", kind="text"), Column(f"Test {metric.title}", "mean over seeds"), Column("Seeds"),
        *([Column("Rate", "tuned")] if is_tuned else []), Column("Training", "tokens/s"), Column("To target", "on validation"),
        Column("Inference", "tokens/s"), Column("Peak memory"), Column("Parameters", "mechanism's own"),
    ]  # fmt: skip

    def row(record: Record) -> list[Cell]:
        label = results.label(record)
        records = seeds[label]
        head = [Cell(rank_text(places.get(label))), variant_cell(results, record)]
        if label not in means:
            return [*head, status_cell(results, record, len(columns) - len(head))]
        interval, samples = means[label]
        bounds = interval_text(interval, metric.show) if interval.confidence else "1 seed, no interval"
        return [
            *head,
            Cell(metric.show(interval.value), bounds, href=href(results, record)),
            _seeds_cell(records, len(samples)),
            *([Cell(rates(records))] if is_tuned else []),
            replace(_mean(results, records, "train_s", seconds), small=_mean(results, records, "training_tokens_per_s", plain).text),
            _target_cell(records),
            _mean(results, records, "inference_tokens_per_s", plain),
            _mean(results, records, "peak_memory_bytes", size),
            _parameters_cell(records),
        ]

    shown = in_order(results, [records[0] for records in seeds.values()], places)
    chosen = f"For each mechanism the learning rate was chosen by itself, on the validation part ({rate(group.records[0].spec)})."
    notes = (TIES, metric.chance_text(group.records), chosen if is_tuned else "")
    return Table(f"Task · {group.title}", columns, [row(r) for r in shown], tuple(note for note in notes if note))


def places_of(seeds: dict[str, list[Record]], metric: Metric) -> dict[str, tuple[int, int]]:
    """The ranks that each could have; where a seed failed there is none."""
    labels, beats = who_beats_whom(seeds, metric)
    return dict(zip(labels, rank_ranges(beats), strict=True))


def who_beats_whom(seeds: dict[str, list[Record]], metric: Metric) -> tuple[list[str], NDArray[np.bool_]]:
    """The labels of which every seed gave a result, and at [i, j] whether i is surely better than j, by tests paired by seed.

    A single seed is told apart from nothing.
    """
    sign = 1.0 if metric.more_is_better else -1.0
    found = {label: {r.spec.seed: sign * x for r in of for x in values(r, metric.name)[:1]} for label, of in seeds.items()}
    whole = {label: by_seed for label, by_seed in found.items() if by_seed and all(r.status == "ok" for r in seeds[label])}
    return list(whole), scoring_higher(list(whole.values()))


def means_of(seeds: dict[str, list[Record]], metric: Metric) -> Means:
    """Mean, interval and seeds of the metric on the test part, by label; only those that gave one."""
    return {label: found for label, records in seeds.items() if (found := over_seeds(records, metric.name))}


def _target_cell(records: Sequence[Record]) -> Cell:
    """Seconds of training until the validation part first reached the task's target, mean over the seeds that did."""
    done = sum(r.status == "ok" for r in records)
    reached = over_seeds(records, "time_to_target_s")
    if reached is None:
        return Cell("never", title="no seed reached the target", kind="number none") if done else EMPTY
    mean, times = reached
    missing = done - len(times)
    return Cell(seconds(mean.value), f"{missing} of {done} never" if missing else "", interval_text(mean, seconds))


def _seeds_cell(records: Sequence[Record], given: int) -> Cell:
    told = f"{given} of {len(records)}" if len(records) > given else f"{given}"
    diverged = sum(bool(single(r, "diverged")) for r in records)
    return Cell(told, f"{diverged} diverged", kind="number warn") if diverged else Cell(told)


def _parameters_cell(records: Sequence[Record]) -> Cell:
    """Of the model, all seeds of which have the same, and what of it is the mechanism's own."""
    total, own = over_seeds(records, "parameters"), over_seeds(records, "mechanism_parameters")
    return Cell(count(total[0].value), f"+{count(own[0].value)}" if own else "") if total else EMPTY


def _mean(results: Results, records: Sequence[Record], metric: str, show: Callable[[float], str]) -> Cell:
    found = over_seeds(records, metric)
    return Cell(show(found[0].value), title=interval_text(found[0], show), href=href(results, records[0])) if found else EMPTY
