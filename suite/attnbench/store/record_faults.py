"""Finds faults in a record that can be read: errors, which make it useless, and warnings, which make it doubtful."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from attnbench.store.disturbed import disturbance
from attnbench.store.metrics import RESULTS, is_time
from attnbench.store.record import CLOCKS, PYTEST_BENCHMARK, SCHEMA, Record

ANCHORS = ("anchor_s", "drift_anchor_s")
FEW_SAMPLES = 3
BUSY = 1.5  # load average divided by threads; earlier cells of the same session account for up to 1.0 of it


def errors(record: Record, raw: dict[str, Any]) -> Iterator[str]:
    """Yield every reason why the record cannot be used. raw: its line as plain JSON values, before any migration."""
    if "schema" not in raw:
        yield f"it has no schema number; write {SCHEMA} if it has the shape of `attnbench schema`"
    key = record.spec.key()
    if record.id != key:
        yield f"its id is {record.id!r}, and the hash of its spec {key!r}; a record is never edited, measure the cell again"
    yield from _status_errors(record)
    yield from _sample_errors(record)
    yield from _clock_errors(record)


def warnings(record: Record, raw: dict[str, Any], variants: Collection[str], tasks: Collection[str]) -> Iterator[str]:
    """Yield every reason to doubt the record. raw: as in `errors`; variants, tasks: the names that are registered here."""
    written = raw.get("schema", SCHEMA)
    if written != SCHEMA:
        yield f"schema {written} is migrated to {SCHEMA} when it is read"
    environment = record.environment
    if environment.get("commit") is None:
        yield "the commit of the code that measured it is unknown"
    elif environment.get("dirty"):
        yield "it was measured by code that was not committed"
    if record.spec.variant not in variants:
        yield f"variant {record.spec.variant!r} is unknown here"
    if record.spec.task is not None and record.spec.task not in tasks:
        yield f"task {record.spec.task!r} is unknown here"
    yield from _load_warnings(record)
    yield from _timing_warnings(record)


def _status_errors(record: Record) -> Iterator[str]:
    if record.status != "ok":
        if not (record.reason or "").strip():
            yield f"it is {record.status!r} without a reason"
        return
    if not record.measurements:
        yield "it is 'ok' without measurements"
    elif record.spec.track == "task":
        tuning = record.spec.evaluate == "validation"
        wanted = tuple(f"validation_{metric}" for metric in RESULTS) if tuning else RESULTS
        tested = [metric for metric in RESULTS if metric in record.measurements]
        if tuning and tested:
            yield f"it is a tuning trial and has {tested[0]}, so it has read the test part"
        elif not any(metric in record.measurements for metric in wanted):
            yield f"it is 'ok' without {' or '.join(wanted)}, which {'a tuning trial' if tuning else 'a task'} measures"
    else:
        for metric in (f"{record.spec.mode}_s", *(() if record.origin.by == PYTEST_BENCHMARK else ("peak_memory_bytes",))):
            if metric not in record.measurements:
                yield f"it is 'ok' without {metric}, which a {record.spec.track} cell measures"


def _sample_errors(record: Record) -> Iterator[str]:
    """Yield the errors of the samples and the curve. `decode` has already checked that all are numbers that can be."""
    for metric, samples in record.measurements.items():
        if not samples:
            yield f"{metric} has no samples"
    lengths = sorted({len(column) for column in record.curve.values()})
    if len(lengths) > 1:
        yield f"the columns of its curve have from {lengths[0]} to {lengths[-1]} entries; each has one for every epoch"
    times, ratios = (record.measurements.get(metric) for metric in (f"{record.spec.mode}_s", "anchor_ratio"))
    if times and ratios and len(times) != len(ratios):
        yield f"anchor_ratio has {len(ratios)} samples and {record.spec.mode}_s {len(times)}; they are taken in pairs"


def _clock_errors(record: Record) -> Iterator[str]:
    for metric, clock in record.clocks.items():
        if clock not in CLOCKS:
            yield f"the clock of {metric} is {clock!r}; allowed: {', '.join(CLOCKS)}"
        if metric not in record.measurements:
            yield f"clocks names {metric}, which was not measured"


def _load_warnings(record: Record) -> Iterator[str]:
    """Yield what is known of other programs: what they used while the cell was timed; of an older record, the load before it.

    Beside a training run of one thread others may run.
    """
    load, threads = record.environment.get("load_average"), record.environment.get("threads")
    if why := disturbance(record):
        yield f"its times do not count: {why}"
    elif "other_load" in record.environment or "beside" in record.environment:
        return
    elif isinstance(load, int | float) and isinstance(threads, int) and load > BUSY * threads:
        yield f"the machine was busy: load average {load} before a cell of {threads} threads"


def _timing_warnings(record: Record) -> Iterator[str]:
    unnamed = [metric for metric in record.measurements if is_time(metric) and metric not in record.clocks]
    if unnamed:
        yield f"no clock is named for {', '.join(unnamed)}"
    if record.status != "ok" or not record.spec.is_timed:
        return
    timed = record.measurements.get(f"{record.spec.mode}_s")
    if not timed:
        return
    if len(timed) < FEW_SAMPLES:
        yield f"{record.spec.mode}_s has {len(timed)} samples; {FEW_SAMPLES} are needed for an interval"
    if not any(anchor in record.measurements for anchor in ANCHORS):
        yield f"no anchor was timed beside it ({' or '.join(ANCHORS)}), so drift of the machine cannot be told"
