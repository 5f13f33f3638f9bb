"""The time of a record and its ratio to softmax as analysis publishes them, the same in every table, plot and download."""

from __future__ import annotations

from attnbench.analysis.samples import positive
from attnbench.analysis.standing import Standing
from attnbench.analysis.time_table import RATIO
from attnbench.analysis.times import BY_TURNS
from attnbench.stats import Interval, ratio_interval
from attnbench.store.facts import LARGEST
from attnbench.store.record import Record
from attnbench.website.results import Results

BY_ROUNDS = "by its rounds"


def call_seconds(results: Results, record: Record) -> Interval | None:
    """The seconds of a call, with what processes differ by; where these do not count, those of the record as it is. None without any."""
    place = _place(results, record)
    return (place.seconds if place else None) or positive(record, f"{record.spec.mode}_s")


def over_softmax(results: Results, record: Record, base: Interval | None) -> Interval | None:
    """A time over softmax's: what the ranks rest on; else from calls that took turns with softmax; else from the times of two cells.

    base: softmax's seconds in the same setting. None where there is no ratio, and where the times of the cell do not count.
    """
    place, time = _place(results, record), call_seconds(results, record)
    if place and not place.counts:
        return None
    found = place.interval if place and place.metric.endswith("_ratio") else None
    if found and 1 / LARGEST < found.low <= found.high < LARGEST:
        return found
    return time and (positive(record, "anchor_ratio") or (ratio_interval(time, base) if base else None))


def by_rounds(results: Results, record: Record) -> str:
    """That the ratio of `over_softmax` is to the softmax of the same rounds, in a few words; "" where it is to softmax's own cells."""
    place = _place(results, record)
    if place and place.metric == RATIO:
        return BY_ROUNDS if any(note.startswith(BY_TURNS) for note in place.notes) else ""
    return BY_ROUNDS if positive(record, "anchor_ratio") else ""


def _place(results: Results, record: Record) -> Standing | None:
    return results.standings.places("time", record).get(results.label(record))
