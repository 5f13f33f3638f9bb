"""The mechanisms of every setting, each with its records that count: what every table is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from attnbench.analysis.codes import codes
from attnbench.analysis.diverged import with_diverged
from attnbench.analysis.settings import SETTING, samples_by_record
from attnbench.analysis.unverified import unverifiable, unverified

if TYPE_CHECKING:
    import pandas as pd

TEXTS = ("reason", "flagged", "drift", "session", "attnbench_commit", "implementation", "timing", "not_compared")
Lookup = Mapping[str, Mapping[int, list[float]]]


@dataclass
class Entry:
    """The records of one mechanism in one setting, in the order of their seeds.

    flags: why their times do not count, drifts: why their seconds do not, None where they do. unverified: why it has no rank for want of a
    comparison with its definition, unverifiable: that its definition fails. failed: the index of the first record that has no numbers.
    diverged: how many of its training runs did, where test results were asked for. at_edge: whether the rate of one is at the edge of those
    that were tried.
    """

    label: str
    variant: str
    records: list[int] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    reasons: list[str | None] = field(default_factory=list)
    flags: list[str | None] = field(default_factory=list)
    drifts: list[str | None] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    commits: list[str | None] = field(default_factory=list)
    implementation: str = ""
    unverified: str | None = None
    unverifiable: str | None = None
    failed: int | None = None
    diverged: int = 0
    at_edge: bool = False

    @property
    def status(self) -> str:
        """The status of the first record that has no numbers, else "ok"."""
        return self.statuses[self.failed if self.failed is not None else 0]

    @property
    def failure(self) -> str | None:
        """Why the first record that has no numbers has none, in one line; None where all have."""
        if self.failed is None:
            return None
        others = f"{len(self.records)} records, of which one: " if len(self.records) > 1 else ""
        return others + (self.reasons[self.failed] or "no reason given").splitlines()[0]

    @property
    def flag(self) -> str | None:
        """Why its times do not count; None where all do."""
        return next((flag for flag in self.flags if flag), None)

    @property
    def drift(self) -> str | None:
        """Why its seconds do not count; None where all do."""
        return next((drift for drift in self.drifts if drift), None)


def settings(rows: pd.DataFrame, track: str, metrics: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], list[Entry], Lookup]]:
    """Yield every setting of a track in order, with its mechanisms, and the samples of the given metrics by metric and record, as they
    count: see analysis.diverged.

    rows: from `comparable`.
    """
    lookup = {metric: samples_by_record(rows, metric) for metric in metrics}
    lost = with_diverged(rows, lookup)
    heads = rows.iloc[np.unique(rows["record"].to_numpy(), return_index=True)[1]]
    heads = heads.sort_values(["label", "seed", "id"], kind="stable")
    setting = codes(heads, SETTING[track])
    columns = {name: heads[name].tolist() for name in ("label", "variant", "record", "seed", "status", "at_edge")}
    texts = {name: [_text(value) for value in heads[name].tolist()] for name in TEXTS}
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
        entry.reasons.append(texts["reason"][place])
        entry.flags.append(texts["flagged"][place])
        entry.drifts.append(texts["drift"][place])
        entry.sessions.append(texts["session"][place] or "")
        entry.commits.append(texts["attnbench_commit"][place])
        entry.implementation = texts["implementation"][place] or entry.implementation
        entry.diverged += columns["record"][place] in lost
        entry.at_edge = entry.at_edge or columns["at_edge"][place] == 1.0
        said = texts["not_compared"][place]
        entry.unverified = entry.unverified or unverified(said, texts["timing"][place])
        entry.unverifiable = entry.unverifiable or unverifiable(said)
        if group not in names:
            names[group] = tuple(axis[place] for axis in axes)
    for group in sorted(groups, key=lambda g: [_sortable(value) for value in names[g]]):
        yield names[group], list(groups[group].values()), lookup


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _sortable(value: Any) -> tuple[bool, Any]:
    """Sort key of a value; missing values come last."""
    missing = value is None or value != value
    return missing, "" if missing else value
