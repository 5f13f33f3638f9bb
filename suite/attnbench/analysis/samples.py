"""Numbers of records to show: samples, medians, means over seeds, records of several seeds joined; and the status of a cell in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from functools import partial
from operator import attrgetter
from statistics import median

import numpy as np

from attnbench.analysis.diverged import counted_samples, measured_of
from attnbench.analysis.time_medians import BASELINE as BASELINE
from attnbench.spec.axes import Spec
from attnbench.stats import KNOWN, Interval, locations, mean_interval, medians, within
from attnbench.store.facts import LARGEST
from attnbench.store.metrics import as_meant, is_time
from attnbench.store.record import Origin, Record

STATUS_WORDS = {"oom": "out of memory", "error": "error", "incorrect": "incorrect", "timeout": "timeout"}
_but_seed = attrgetter(*(f.name for f in fields(Spec) if f.name not in ("seed", "params")))


def status_word(record: Record) -> str:
    """The status of a record in words."""
    return STATUS_WORDS.get(record.status, record.status)


def is_trial(record: Record) -> bool:
    """Whether a record is a tuning trial, from which a learning rate was chosen; it has no test result."""
    return record.spec.evaluate == "validation"


def values(record: Record, metric: str) -> list[float]:
    """The samples of a metric that can be a measurement, as they were measured; empty when the cell has none."""
    return _sound(metric, measured_of(record, metric))


def counted(record: Record, metric: str) -> list[float]:
    """The samples of a metric as they count: as `values`, but that of test results a run that diverged has those of knowing nothing."""
    return _sound(metric, counted_samples(metric, partial(measured_of, record)))


def _sound(metric: str, samples: Sequence[float]) -> list[float]:
    return [x for x in as_meant(metric, list(samples)) if abs(x) < LARGEST]


def positive(record: Record, metric: str) -> Interval | None:
    """A positive metric with its interval; None when the cell did not give one.

    A time is that of one process, with the spread between processes that is known; what is counted, such as bytes, ranges over its samples.
    """
    samples = values(record, metric)
    if record.status != "ok" or not samples or min(samples) <= 1 / LARGEST:
        return None
    if _is_timed(metric):
        found = locations(medians([samples]), np.zeros(1, dtype=np.intp), 1, KNOWN).at(0)
        return found.interval() if found else None
    return Interval(median(samples), min(samples), max(samples), 1.0)


def _is_timed(metric: str) -> bool:
    """Whether a metric is a time, or a ratio of two."""
    return is_time(metric) or metric == "anchor_ratio"


def single(record: Record, metric: str) -> float | None:
    """A metric as one number, as it counts: its mean over layers where it has several."""
    samples = counted(record, metric)
    return sum(samples) / len(samples) if record.status == "ok" and samples else None


def reached_target(record: Record) -> bool:
    """Whether a training run reached its task's target; whether the seconds until then are known is another question."""
    return any(single(record, name) is not None for name in ("steps_to_target", "time_to_target_s"))


def over_seeds(records: Iterable[Record], metric: str) -> tuple[Interval, list[float]] | None:
    """Mean, interval and the value of each seed, as it counts; None when no seed gave one."""
    samples = [x for record in records if record.status == "ok" for x in counted(record, metric)[:1]]
    return (within(mean_interval(samples), 0.0, 1.0 if metric == "accuracy" else math.inf), samples) if samples else None


def by_coverage(records: Sequence[Record], of: Callable[[Record], int | None]) -> list[int]:
    """Sizes, first the largest at which most variants have data, then the others from large to small."""
    found: dict[int, set[str]] = {}
    for record in records:
        if size := of(record):
            given = found.setdefault(size, set())
            if record.status == "ok":
                given.add(record.spec.variant)
    sizes = sorted(found, reverse=True)
    first = max(sizes, key=lambda s: (len(found[s]), s), default=None)
    return sorted(sizes, key=lambda s: s != first)


def pooled(records: Iterable[Record], label: Callable[[Record], str]) -> list[Record]:
    """The records of costs, with the seeds of each cell joined into one record: of a time it holds the median of each process.

    So the median of a joined time is that over processes. It stands at the place of the first. If a seed failed, the failed record stands
    for all: a mechanism with a failed seed has no rank. label: the mechanism of a record, by whose label the cells are told apart, for a
    parameter that came later is missing in older records.
    """
    found: dict[tuple[str, object, str], list[Record]] = {}
    for record in records:
        found.setdefault((record.machine, _but_seed(record.spec), label(record)), []).append(record)
    return [next((record for record in of if record.status != "ok"), None) or _as_one(of) for of in found.values()]


def _as_one(records: Sequence[Record]) -> Record:
    if len(records) == 1:
        return records[0]
    metrics = dict.fromkeys(metric for record in records for metric in record.measurements)
    samples = {}
    for metric in metrics:
        held = [of for record in records if (of := record.measurements.get(metric))]
        samples[metric] = [median(of) for of in held] if _is_timed(metric) else [x for of in held for x in of]
    return replace(records[0], measurements=samples, origin=least_trusted(records))


def least_trusted(records: Iterable[Record]) -> Origin:
    """The origin of the least trusted record, which is as far as all of them together can be trusted."""
    return min((record.origin for record in records), key=lambda origin: origin.trust == "rerun")
