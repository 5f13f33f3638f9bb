"""Ranking tables: mechanisms in every setting by time, memory or what they learnt, with intervals, and ranks that know ties.

What is missing is treated by rules, and never filled in. A mechanism whose cell failed, or one of whose seeds did, is listed with its
status and has no rank. A time of a flagged session, or of a single sample, is shown and has no rank. Seeds that two mechanisms do not
share do not count when these two are compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from attnbench.analysis.collector import collector_paused
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
    """One mechanism in one setting: its records, in the order of their seeds. failed: the place of the first that has no numbers."""

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

    table: of attnbench.load. what: "time" (of a call or a step, 99 % intervals), "memory" (peak, exact) or "result" (what a task's test
    part gave, mean over seeds and 95 % interval). Columns: the setting's (comparable.SETTING), then the mechanism's label and name;
    rank_low and rank_high, the first and last rank that it could have, missing where it has none; ties, the labels it cannot be told from;
    metric, value with low, high and their confidence; how many samples and records stand behind it; status, and why it has no rank.

    A time is the ratio to softmax, `anchor_ratio`, where every mechanism of the setting has one, else seconds. The order of rows depends on
    nothing but their content: settings, then ranks, then names.

    Raises BadInput for a track that has no such table.
    """
    if track not in TRACKS[what]:
        raise unknown_name("track", track, TRACKS[what], f"tracks that have a {what} to rank")
    return _rankings(table, (what,), track)[what]


def rankings(table: pd.DataFrame, track: str, labels: Labels | None = None) -> dict[What, pd.DataFrame]:
    """Every ranking table that a track has, in one pass. labels: of a larger table that this one is a part of."""
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
    """Every setting of a track in order, with its mechanisms and, by metric and record, their samples of some metrics.

    rows: of `comparable`.
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
    """The rows of one setting."""
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
    """Ranks, ties by name, what has none last."""
    label, _, low, high, *_ = row
    return low is None, low, high, label


def _metric(entries: Sequence[Entry], what: What, mode: str, lookup: Lookup) -> str:
    """What a setting is ranked by: of a time the ratio to softmax, if all that may be ranked have one."""
    records = [record for entry in entries for record in entry.records]
    if what == "memory":
        return "peak_memory_bytes"
    if what == "result":
        return next((metric for metric in RESULTS if any(record in lookup[metric] for record in records)), "accuracy")
    sound = [record for entry in entries if entry.failed is None and not any(entry.flags) for record in entry.records]
    timed = [record for record in sound or records if record in lookup.get(f"{mode}_s", {})]
    return "anchor_ratio" if timed and all(record in lookup["anchor_ratio"] for record in timed) else f"{mode}_s"


def _why(entry: Entry, samples: Sequence[list[float]], what: What) -> str | None:
    """Why a mechanism has no rank; None if it has."""
    if entry.failed is not None:
        reason = (entry.reasons[entry.failed] or "no reason given").splitlines()[0]
        others = f"{len(entry.records)} records, of which one: " if len(entry.records) > 1 else ""
        return f"{others}{reason}"
    flag = next((flag for flag in entry.flags if flag), None)
    if flag and what == "time":
        return f"flagged: {flag}"
    if not all(samples):
        return "it was not measured here"
    return "a cost that is not above zero is no cost" if what != "result" and min(map(min, samples)) <= 0 else None


def _beats(entries: Sequence[Entry], samples: Sequence[Sequence[list[float]]], what: What, metric: str) -> Any:
    """At [i, j] whether i is surely ahead of j. Times of several records of a mechanism, its seeds, are taken together."""
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
    """The samples of all records; of one, which is usual, they need no copy."""
    return samples[0] if len(samples) == 1 else [x for mine in samples for x in mine]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _sortable(value: Any) -> tuple[bool, Any]:
    """A value that sorts before those that are missing."""
    missing = value is None or value != value
    return missing, "" if missing else value
