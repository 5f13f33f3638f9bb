"""Ranking tables: the mechanisms of every setting, ordered by time, memory or test result, with intervals and with ties.

No missing value is filled in. A mechanism whose cell failed, or one of whose seeds did, is listed with its status and has no rank. A seed
that diverged did not fail: it counts as knowing nothing (analysis.diverged). A time
of a disturbed cell is shown and has no rank; what was not compared with its definition has none either. Two results are compared over the
seeds that both have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from attnbench.analysis.apart import apart
from attnbench.analysis.diverged import share_text
from attnbench.analysis.edge import AT_EDGE
from attnbench.analysis.entries import Entry, Lookup, settings
from attnbench.analysis.gc_pause import collector_paused
from attnbench.analysis.labels import Labels
from attnbench.analysis.number_format import size
from attnbench.analysis.scores import READ, resolution, scores_of
from attnbench.analysis.settings import SETTING, comparable
from attnbench.analysis.time_medians import TimeMedians
from attnbench.analysis.time_table import TimeTable
from attnbench.analysis.times import time_table
from attnbench.errors import unknown_name
from attnbench.stats import Interval, exact_cheaper, mean_interval, rank_ranges, ties, within
from attnbench.store.metrics import RESULTS

if TYPE_CHECKING:
    import pandas as pd

What = Literal["time", "memory", "result"]
TRACKS: dict[What, tuple[str, ...]] = {
    "time": ("kernel", "depth", "step"), "memory": ("kernel", "depth", "task", "step"), "result": ("task",),
}  # fmt: skip
METRICS: dict[What, tuple[str, ...]] = {"time": (), "memory": ("peak_memory_bytes", "peak_rss_bytes"), "result": READ}
# The process may grow by so much more than the allocator says: libraries, arenas, and buffers of threads. Of 400 cells none grew by more.
GREW_FACTOR, GREW_BYTES = 2.0, 64 * 2.0**20
RESOLUTION = ("resolution_between", "resolution_over_cells", "resolution_processes")
COLUMNS = (
    "label", "variant", "rank_low", "rank_high", "ties", "metric", "value", "low", "high", "confidence", "seconds", "seconds_low",
    "seconds_high", "samples", "records", "status", "why", "apart", "notes", "implementation", *RESOLUTION, "half_width",
)  # fmt: skip


def ranking(table: pd.DataFrame, what: What, track: str) -> pd.DataFrame:
    """One row for every setting of a track and every mechanism in it.

    table: from attnbench.load. what: "time" (of a call or a step, median over processes), "memory" (peak, exact) or "result" (on the test
    part of a task, mean over seeds); intervals are at 95 %. Columns: the setting's (analysis.settings.SETTING), then the mechanism's
    label and name; rank_low and rank_high, the first and last rank that it could have, missing where it has none; ties, the labels it
    cannot be told from; metric, value with low, high and their confidence; of a time the seconds and their interval, at the usual speed
    of the session; the numbers of samples and of records used, each record a process; status; why, the reason for no rank; apart, what of
    the row is not of the session or commit that most rows are of; notes, what a reader must know; implementation; and the parts of the
    resolution of a table of times (stats.Resolution), and half_width, that of a table of results: how far apart two equal mechanisms may be
    by chance, in the metric. They are the same in every row of a setting.

    A time is `softmax_ratio`, its seconds over softmax's own, where every mechanism of the setting has such a ratio, else seconds. The rows
    are sorted by setting; then times by their value, others by rank and name; what has no rank is last.

    Raises BadInput for a track that has no such table.
    """
    if track not in TRACKS[what]:
        raise unknown_name("track", track, TRACKS[what], f"tracks that have a {what} to rank")
    return _rankings(table, (what,), track)[what]


def rankings(table: pd.DataFrame, track: str, labels: Labels | None = None) -> dict[What, pd.DataFrame]:
    """Every ranking table of a track, made in one pass. labels: those of the whole table, if `table` is only a part of it."""
    return _rankings(table, tuple(what for what, tracks in TRACKS.items() if track in tracks), track, labels)


def _rankings(table: pd.DataFrame, whats: Sequence[What], track: str, labels: Labels | None = None) -> dict[What, pd.DataFrame]:
    import pandas as pd

    found: dict[What, list[tuple[Any, ...]]] = {what: [] for what in whats}
    with collector_paused():
        rows = comparable(table, track, labels)
        times = TimeMedians(table, rows, track, labels) if "time" in whats else None
        for setting, entries, lookup in settings(rows, track, [metric for what in whats for metric in METRICS[what]]):
            elsewhere = apart(entries)
            for what, told in found.items():
                if times is not None and what == "time":
                    mode = setting[SETTING[track].index("mode")]
                    mine = _timed(entries, elsewhere, time_table(times, setting, entries, f"{mode}_s"), times)
                else:
                    mine = _ranked(entries, elsewhere, what, lookup)
                told += [(*setting, *values) for values in mine]
    columns = [*SETTING[track], *COLUMNS]
    numbers = dict.fromkeys(("rank_low", "rank_high", *RESOLUTION, "half_width"), float)
    return {what: pd.DataFrame(told, columns=columns).astype(numbers) for what, told in found.items()}


def _timed(entries: Sequence[Entry], elsewhere: Sequence[str | None], table: TimeTable, times: TimeMedians) -> list[tuple[Any, ...]]:
    """The rows of one setting by time, fastest first."""
    ranked = [place for place, why in enumerate(table.whys) if why is None]
    beats = table.cheaper(ranked)
    resolved = (table.resolution.between, table.resolution.over_cells, table.resolution.processes) if table.resolution else (None,) * 3
    places = dict(zip(ranked, rank_ranges(beats), strict=True))
    tied = dict(zip(ranked, ties([entries[place].label for place in ranked], beats), strict=True))
    numbers = zip(*(of.tolist() for of in (*table.published().intervals(), *table.seconds.intervals()[:3])), strict=True)
    fastest = np.nan_to_num(table.values.log, nan=np.inf).tolist()
    rows = []
    for place, (entry, own) in enumerate(zip(entries, numbers, strict=True)):
        counted = [times.counts[record] for record, used in zip(entry.records, table.used[place], strict=True) if used]
        rows.append((
            entry.label, entry.variant, *places.get(place, (None, None)), tied.get(place, ()), table.metric, *own, sum(counted),
            sum(map(bool, counted)), entry.status, table.whys[place], elsewhere[place], table.notes[place], entry.implementation, *resolved,
            None,
        ))  # fmt: skip
    return [rows[place] for place in sorted(range(len(rows)), key=lambda i: (i not in places, fastest[i], entries[i].label))]


def _numbers(interval: Interval | None) -> tuple[float, ...]:
    return (interval.value, interval.low, interval.high, interval.confidence) if interval else (math.nan,) * 4


def _ranked(entries: Sequence[Entry], elsewhere: Sequence[str | None], what: What, lookup: Lookup) -> list[tuple[Any, ...]]:
    """The rows of one setting by memory or test result, sorted by rank."""
    metric = _metric(entries, what, lookup)
    samples = lookup.get(metric, {})
    own = [[samples.get(record, []) for record in entry.records] for entry in entries]
    whys = [_why(entry, mine, what) for entry, mine in zip(entries, own, strict=True)]
    ranked = [place for place, why in enumerate(whys) if why is None]
    scored = [entries[place] for place in ranked]
    scores = scores_of(scored, metric, lookup) if what == "result" else None
    beats = scores.ahead() if scores else exact_cheaper([[x for mine in own[place] for x in mine] for place in ranked])
    seeds = min((len(entry.seeds) for entry in scored), default=0)
    half_width = resolution(scores, [entry.label for entry in scored], seeds) if scores else None
    places = dict(zip(ranked, rank_ranges(beats), strict=True))
    tied = dict(zip(ranked, ties([entries[place].label for place in ranked], beats), strict=True))
    found = []
    for place, (entry, mine, why) in enumerate(zip(entries, own, whys, strict=True)):
        low, high = places.get(place, (None, None))
        interval = scores.interval(ranked.index(place)) if scores and place in places else _interval(mine, what, metric)
        row = (entry.label, entry.variant, low, high, tied.get(place, ()), metric, *_numbers(interval))
        notes = _outside(entry, mine, lookup.get("peak_rss_bytes", {})) if what == "memory" else _of_training(entry)
        used = (*(math.nan,) * 3, sum(map(len, mine)), sum(map(bool, mine)))
        found.append((*row, *used, entry.status, why, elsewhere[place], notes, entry.implementation, None, None, None, half_width))
    return sorted(found, key=_by_rank)


def _outside(entry: Entry, samples: Sequence[list[float]], resident: Mapping[int, list[float]]) -> tuple[str, ...]:
    """That the process grew by far more than the allocator of torch says, in words: memory that the mechanism takes elsewhere."""
    for record, mine in zip(entry.records, samples, strict=True):
        grew = resident.get(record)
        if mine and grew and grew[0] > GREW_FACTOR * max(mine) + GREW_BYTES:
            return (f"outside torch's allocator: the process grew by {size(grew[0])}, and the allocator counts {size(max(mine))}",)
    return ()


def _of_training(entry: Entry) -> tuple[str, ...]:
    """What must be said of a test result: how many seeds diverged, and that the rate is at an edge."""
    lost = share_text(entry.diverged, len(entry.records))
    return (*((f"{lost} diverged, and knows nothing",) if lost else ()), *((AT_EDGE,) if entry.at_edge else ()))


def _by_rank(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Sort key of a row: its rank, then its label; rows without a rank come last."""
    label, _, low, high, *_ = row
    return low is None, low, high, label


def _metric(entries: Sequence[Entry], what: What, lookup: Lookup) -> str:
    """The metric that a setting is ranked by."""
    if what == "memory":
        return "peak_memory_bytes"
    records = [record for entry in entries for record in entry.records]
    return next((metric for metric in RESULTS if any(record in lookup[metric] for record in records)), "accuracy")


def _why(entry: Entry, samples: Sequence[list[float]], what: What) -> str | None:
    """The reason why a mechanism has no rank; None if it has one."""
    if entry.failed is not None:
        return entry.failure
    if entry.unverified:
        return entry.unverified
    if not all(samples):
        return "it was not measured here"
    return "its cost is not above zero" if what != "result" and min(map(min, samples)) <= 0 else None


def _interval(samples: Sequence[list[float]], what: What, metric: str) -> Interval | None:
    if what == "result":
        every = [mine[0] for mine in samples if mine]
        return within(mean_interval(every), 0.0, 1.0 if metric == "accuracy" else math.inf) if every else None
    every = [x for mine in samples for x in mine]
    return Interval(median(every), min(every), max(every), 1.0) if every else None
