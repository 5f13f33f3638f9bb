"""Ranking tables: the mechanisms of every setting, ordered by time, memory or test result, with intervals and with ties.

No missing value is filled in. A mechanism whose cell failed, or one of whose seeds did, is listed with its status and has no rank. A time
of a flagged session, or of a single sample, is shown and has no rank. Two mechanisms are compared over the seeds that both have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from attnbench.analysis.gc_pause import collector_paused
from attnbench.analysis.labels import Labels
from attnbench.analysis.settings import SETTING, codes, comparable, samples_by_record
from attnbench.errors import unknown_name
from attnbench.spec.axes import MODES
from attnbench.stats import (  # fmt: skip
    Interval,
    cheaper,
    exact_cheaper,
    mean_interval,
    median_interval,
    rank_ranges,
    scoring_higher,
    ties,
    within,
)
from attnbench.store.metrics import RESULTS, higher_is_better

if TYPE_CHECKING:
    import pandas as pd

What = Literal["time", "memory", "result"]
TRACKS: dict[What, tuple[str, ...]] = {"time": ("kernel", "depth"), "memory": ("kernel", "depth", "task"), "result": ("task",)}
METRICS: dict[What, tuple[str, ...]] = {
    "time": ("anchor_ratio", *(f"{mode}_s" for mode in MODES)), "memory": ("peak_memory_bytes",), "result": RESULTS,
}  # fmt: skip
COLUMNS = (
    "label", "variant", "rank_low", "rank_high", "ties", "metric", "value", "low", "high", "confidence", "samples", "records",
    "status", "why",
)  # fmt: skip


@dataclass
class Entry:
    """The records of one mechanism in one setting, in the order of their seeds. failed: the index of the first that has no numbers."""

    label: str
    variant: str
    records: list[int] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    reasons: list[str | None] = field(default_factory=list)
    flags: list[str | None] = field(default_factory=list)
    failed: int | None = None


def ranking(table: pd.DataFrame, what: What, track: str) -> pd.DataFrame:
    """One row for every setting of a track and every mechanism in it.

    table: from attnbench.load. what: "time" (of a call or a step, 99 % intervals), "memory" (peak, exact) or "result" (on the test part of
    a task, mean over seeds and 95 % interval). Columns: the setting's (analysis.settings.SETTING), then the mechanism's label and name;
    rank_low and rank_high, the first and last rank that it could have, missing where it has none; ties, the labels it cannot be told from;
    metric, value with low, high and their confidence; the numbers of samples and of records used; status; why, the reason for no rank.

    A time is the ratio to softmax, `anchor_ratio`, where every mechanism of the setting has one, else seconds. The rows are sorted by
    setting, then rank, then name.

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
        for setting, entries, lookup in settings(
            comparable(table, track, labels), track, [metric for what in whats for metric in METRICS[what]]
        ):
            mode = dict(zip(SETTING[track], setting, strict=True)).get("mode", "")
            for what, rows in found.items():
                rows += [(*setting, *values) for values in _ranked(entries, what, mode, lookup)]
    columns = [*SETTING[track], *COLUMNS]
    return {what: pd.DataFrame(rows, columns=columns).astype({"rank_low": float, "rank_high": float}) for what, rows in found.items()}


Lookup = Mapping[str, Mapping[int, list[float]]]


def settings(rows: pd.DataFrame, track: str, metrics: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], list[Entry], Lookup]]:
    """Yield every setting of a track in order, with its mechanisms, and the samples of the given metrics by metric and record.

    rows: from `comparable`.
    """
    lookup = {metric: samples_by_record(rows, metric) for metric in metrics}
    heads = rows.iloc[np.unique(rows["record"].to_numpy(), return_index=True)[1]]
    heads = heads.sort_values(["label", "seed", "id"], kind="stable")
    setting = codes(heads, SETTING[track])
    columns = {name: heads[name].tolist() for name in ("label", "variant", "record", "seed", "status", "reason", "flagged")}
    axes = [heads[name].tolist() for name in SETTING[track]]
    groups: dict[int, dict[str, Entry]] = {}
    names: dict[int, tuple[Any, ...]] = {}
    for place, group in enumerate(setting.tolist()):
        label = columns["label"][place]
        entry = groups.setdefault(group, {}).setdefault(label, Entry(label, columns["variant"][place]))
        entry.records.append(columns["record"][place])
        entry.seeds.append(columns["seed"][place])
        entry.statuses.append(columns["status"][place])
        if entry.failed is None and columns["status"][place] != "ok":
            entry.failed = len(entry.statuses) - 1
        entry.reasons.append(_text(columns["reason"][place]))
        entry.flags.append(_text(columns["flagged"][place]))
        if group not in names:
            names[group] = tuple(axis[place] for axis in axes)
    for group in sorted(groups, key=lambda g: [_sortable(value) for value in names[g]]):
        yield names[group], list(groups[group].values()), lookup


def _ranked(entries: Sequence[Entry], what: What, mode: str, lookup: Lookup) -> list[tuple[Any, ...]]:
    """The rows of one setting, sorted by rank."""
    metric = _metric(entries, what, mode, lookup)
    samples = lookup.get(metric, {})
    own = [[samples.get(record, []) for record in entry.records] for entry in entries]
    whys = [_why(entry, mine, what) for entry, mine in zip(entries, own, strict=True)]
    ranked = [place for place, why in enumerate(whys) if why is None]
    beats = _beats([entries[place] for place in ranked], [own[place] for place in ranked], what, metric)
    places = dict(zip(ranked, rank_ranges(beats), strict=True))
    tied = dict(zip(ranked, ties([entries[place].label for place in ranked], beats), strict=True))
    found = []
    for place, (entry, mine, why) in enumerate(zip(entries, own, whys, strict=True)):
        interval = _interval(mine, what, metric)
        low, high = places.get(place, (None, None))
        status = entry.statuses[entry.failed if entry.failed is not None else 0]
        numbers = (interval.value, interval.low, interval.high, interval.confidence) if interval else (math.nan,) * 4
        row = (entry.label, entry.variant, low, high, tied.get(place, ()), metric, *numbers)
        found.append((*row, sum(map(len, mine)), sum(map(bool, mine)), status, why))
    return sorted(found, key=_by_rank)


def _by_rank(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Sort key of a row: its rank, then its label; rows without a rank come last."""
    label, _, low, high, *_ = row
    return low is None, low, high, label


def _metric(entries: Sequence[Entry], what: What, mode: str, lookup: Lookup) -> str:
    """The metric that a setting is ranked by; for time the ratio to softmax if every mechanism that may be ranked has one."""
    records = [record for entry in entries for record in entry.records]
    if what == "memory":
        return "peak_memory_bytes"
    if what == "result":
        return next((metric for metric in RESULTS if any(record in lookup[metric] for record in records)), "accuracy")
    sound = [record for entry in entries if entry.failed is None and not any(entry.flags) for record in entry.records]
    timed = [record for record in sound or records if record in lookup.get(f"{mode}_s", {})]
    return "anchor_ratio" if timed and all(record in lookup["anchor_ratio"] for record in timed) else f"{mode}_s"


def _why(entry: Entry, samples: Sequence[list[float]], what: What) -> str | None:
    """The reason why a mechanism has no rank; None if it has one."""
    if entry.failed is not None:
        reason = (entry.reasons[entry.failed] or "no reason given").splitlines()[0]
        others = f"{len(entry.records)} records, of which one: " if len(entry.records) > 1 else ""
        return f"{others}{reason}"
    flag = next((flag for flag in entry.flags if flag), None)
    if flag and what == "time":
        return f"flagged: {flag}"
    if not all(samples):
        return "it was not measured here"
    return "its cost is not above zero" if what != "result" and min(map(min, samples)) <= 0 else None


def _beats(entries: Sequence[Entry], samples: Sequence[Sequence[list[float]]], what: What, metric: str) -> Any:
    """Boolean matrix: [i, j] is true where i is surely ahead of j. For a cost the samples of all seeds of a mechanism are joined."""
    if what == "time":
        return cheaper([_together(of) for of in samples])
    if what == "memory":
        return exact_cheaper([_together(of) for of in samples])
    sign = 1.0 if higher_is_better(metric) else -1.0
    by_seed = [
        {seed: sign * mine[0] for seed, mine in zip(entry.seeds, of, strict=True)} for entry, of in zip(entries, samples, strict=True)
    ]
    return scoring_higher(by_seed)


def _interval(samples: Sequence[list[float]], what: What, metric: str) -> Interval | None:
    every = [mine[0] for mine in samples if mine] if what == "result" else _together(samples)
    if not every:
        return None
    if what == "result":
        return within(mean_interval(every), 0.0, 1.0 if metric == "accuracy" else math.inf)
    if what == "time":
        return median_interval(every)
    return Interval(median(every), min(every), max(every), 1.0) if len(every) > 1 else Interval(every[0], every[0], every[0], 1.0)


def _together(samples: Sequence[list[float]]) -> list[float]:
    """The samples of all records in one list; not a copy where there is one record, the usual case."""
    return samples[0] if len(samples) == 1 else [x for mine in samples for x in mine]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _sortable(value: Any) -> tuple[bool, Any]:
    """Sort key of a value; missing values come last."""
    missing = value is None or value != value
    return missing, "" if missing else value
