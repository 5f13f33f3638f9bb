"""The times of one setting: what each mechanism is ranked by, and how far two of them must differ to be told apart.

A time is published as its ratio to softmax's own cells of the same setting and session. Where the machine's speed changed meanwhile, or
that session has no softmax cell, the ratios to the softmax of the same rounds serve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnbench.analysis.entries import Entry
from attnbench.analysis.number_format import seconds as seconds_text
from attnbench.analysis.time_medians import BASELINE, TimeMedians
from attnbench.stats import (  # fmt: skip
    Location,
    Locations,
    Medians,
    Resolution,
    Spread,
    cheaper,
    cost_p_values,
    locations,
    pair_errors,
    resolution_of,
)

RATIO = "softmax_ratio"
LAUNCH_BOUND = 2.0  # times its kernels, beyond which the wall time of a call on a GPU is that of launching them
NO_RATIO = -1  # the base of a number that is no ratio to softmax's own cells
Floats = NDArray[np.float64]
Whole = NDArray[np.intp]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class TimeTable:
    """The times of a setting's mechanisms, in the order in which these were given.

    metric: what they are ranked by, RATIO or seconds. values: ratios, with the errors of their numerators, or seconds; NaN where there are
    none. base: which of the denominators each has, NO_RATIO without; bases: these, softmax's own cells. seconds: None where they do not
    count. whys: why one has no rank, None where it has one. notes: what a reader must know. launch_bound: whether a GPU's call takes as
    long as launching its kernels.
    """

    metric: str
    values: Locations
    base: Whole
    bases: list[Location]
    seconds: list[Location | None]
    whys: list[str | None]
    notes: list[tuple[str, ...]]
    launch_bound: list[bool]
    resolution: Resolution | None

    def published(self, place: int) -> Location | None:
        """What is shown of one mechanism, with the error of its denominator."""
        if math.isnan(self.values.log[place]):
            return None
        own = self.values.at(place)
        if self.base[place] == NO_RATIO:
            return own
        below = self.bases[self.base[place]]
        return own.over(Location(0.0, below.variance, below.freedom, below.processes))

    def errors(self, places: Sequence[int]) -> tuple[Floats, Floats]:
        """Of each pair of some mechanisms, the variance of their difference and its degrees of freedom."""
        below = (np.array([getattr(base, name) for base in self.bases], dtype=float) for name in ("variance", "freedom"))
        return pair_errors(self.values.variance[places], self.values.freedom[places], self.base[places], *below)

    def over(self, one: int, other: int) -> Location:
        """The ratio of the times of two mechanisms; what both are divided by divides out."""
        variance, freedom = (float(of[0, 1]) for of in self.errors([one, other]))
        processes = int(min(self.values.processes[[one, other]]))
        return Location(float(self.values.log[one] - self.values.log[other]), variance, freedom, processes)

    def cheaper(self, places: Sequence[int]) -> Bools:
        """At [i, j]: whether the one of `places` surely takes less time than the other, by more than the table resolves."""
        log = self.values.log[places]
        return cheaper(cost_p_values(log, *self.errors(places)), log, self.resolution.factor if self.resolution else 1.0)


def time_table(times: TimeMedians, setting: Sequence[Any], entries: Sequence[Entry], metric: str) -> TimeTable:
    """The times of a setting. metric: that of their seconds, "forward_s" for example; entries: every mechanism of the setting."""
    return _Maker(times, setting, entries).made(metric)


class _Maker:
    """Makes the table of one setting. Arrays by record hold the records of all mechanisms, one mechanism after the other."""

    def __init__(self, times: TimeMedians, setting: Sequence[Any], entries: Sequence[Entry]) -> None:
        self._entries = entries
        sizes = [len(entry.records) for entry in entries]
        self._owner = np.repeat(np.arange(len(entries)), sizes)
        records = np.array([record for entry in entries for record in entry.records], dtype=np.intp)
        self._seconds, self._turns = times.seconds.of(records), times.turns.of(records)
        self._anchors, self._kernels = times.anchors.log[records], times.kernels[records]
        self._spread, self._spread_of_turns = times.spreads(setting)
        sessions = [session for entry in entries for session in entry.sessions]
        own = {session: times.softmax(setting, session) for session in dict.fromkeys(sessions)}
        self._softmax = {session: base for session, base in own.items() if base is not None}
        self._below = np.array([base.log if (base := own[session]) else np.nan for session in sessions])
        self._measured = np.isfinite(self._seconds.log)

    def made(self, metric: str) -> TimeTable:
        entries = self._entries
        has_seconds, has_turns = self._all(self._measured), self._all(np.isfinite(self._turns.log))
        drifts = [entry.drift for entry in entries]
        steady = np.array([drift is None for drift in drifts])
        pooled = steady & self._all(np.isfinite(self._below) | ~self._measured) & self._any(self._measured)
        relative = pooled | has_turns
        whys = [_why(entry, complete) for entry, complete in zip(entries, has_seconds.tolist(), strict=True)]
        candidates = np.array([why is None for why in whys])
        of_interest = candidates if candidates.any() else self._any(self._measured)
        seconds = self._located(self._seconds, steady & self._any(self._measured), self._spread)
        found = [seconds.at(place) if np.isfinite(seconds.log[place]) else None for place in range(len(entries))]
        notes = [_launch_bound(wall, kernels) for wall, kernels in zip(found, self._medians_of(self._kernels), strict=True)]
        more = [bool(note) for note in notes], self._resolution()
        if not (of_interest.any() and relative[of_interest].all()):
            for place, drift in enumerate(drifts):
                if whys[place] is None and drift:
                    whys[place] = f"its seconds do not count: {drift}"
            return TimeTable(metric, seconds, np.full(len(entries), NO_RATIO), [], found, whys, notes, *more)
        values, base, bases = self._ratios(pooled, has_turns & ~pooled)
        for place in np.flatnonzero(has_turns & ~pooled).tolist():
            reason = drifts[place] or "its session has no cell of softmax here that counts"
            if entries[place].label != BASELINE:
                notes[place] = (*notes[place], f"ranked by its ratio to softmax in the same rounds: {reason}")
        return TimeTable(RATIO, values, base, bases, found, whys, notes, *more)

    def _ratios(self, pooled: Bools, by_turns: Bools) -> tuple[Locations, Whole, list[Location]]:
        """The ratios to softmax, which of the denominators each has, and these. Softmax's own is 1, and has no error."""
        y = Medians(self._seconds.log - self._below, self._seconds.error, self._seconds.freedom)
        first, second = self._located(y, pooled, self._spread), self._located(self._turns, by_turns, self._spread_of_turns)
        pick = {name: np.where(pooled, getattr(first, name), getattr(second, name)) for name in ("log", "variance", "freedom", "processes")}
        values = Locations(**pick)
        groups: dict[tuple[str, ...], int] = {}
        base = np.full(len(self._entries), NO_RATIO)
        for place in np.flatnonzero(pooled).tolist():
            entry = self._entries[place]
            if entry.label == BASELINE:
                continue
            sessions = tuple(sorted({session for session in entry.sessions if session in self._softmax}))
            base[place] = groups.setdefault(sessions, len(groups))
        for place, entry in enumerate(self._entries):
            if entry.label == BASELINE and np.isfinite(values.log[place]):
                values.log[place] = values.variance[place] = 0.0
        return values, base, [_mean([self._softmax[session] for session in group]) for group in groups]

    def _located(self, given: Medians, chosen: Bools, spread: Spread) -> Locations:
        """The costs of the chosen mechanisms, NaN for the others."""
        kept = np.flatnonzero(chosen[self._owner] & np.isfinite(given.log))
        places, numbers = np.unique(self._owner[kept], return_inverse=True)
        count = len(self._entries)
        whole = Locations(np.full(count, np.nan), np.full(count, np.inf), np.full(count, np.inf), np.zeros(count, dtype=np.intp))
        if len(places):
            found = locations(given.of(kept), numbers, len(places), spread)
            for name in ("log", "variance", "freedom", "processes"):
                getattr(whole, name)[places] = getattr(found, name)
        return whole

    def _resolution(self) -> Resolution | None:
        """That of softmax's cells in the session that most records are of; without one, of processes as they are known to differ."""
        sessions = [session for entry in self._entries for session in entry.sessions if session in self._softmax]
        if not self._measured.any():
            return None
        main = self._softmax[max(sorted(set(sessions)), key=sessions.count)] if sessions else None
        held = self._anchors[np.isfinite(self._anchors)]
        apart = self._anchors - (self._below if main else np.median(held) if len(held) else 0.0)
        noise = float(np.mean(self._seconds.error[self._measured]))
        alone = Location(0.0, self._spread.sd**2 + noise, self._spread.freedom, 1)
        known = main if main and math.isfinite(main.variance) else alone
        return resolution_of(known, apart[np.isfinite(apart)])

    def _all(self, held: Bools) -> Bools:
        """Whether something holds of all records of each mechanism."""
        return np.bincount(self._owner[~held], minlength=len(self._entries)) == 0

    def _any(self, held: Bools) -> Bools:
        return np.bincount(self._owner[held], minlength=len(self._entries)) > 0

    def _medians_of(self, logs: Floats) -> list[float]:
        """The median over the records of each mechanism, NaN where none has a number."""
        found = [math.nan] * len(self._entries)
        for place in np.unique(self._owner[np.isfinite(logs)]).tolist():
            found[place] = float(np.nanmedian(logs[self._owner == place]))
        return found


def _why(entry: Entry, complete: bool) -> str | None:
    """Why a mechanism has no rank by time; None if it may have one."""
    if entry.failed is not None:
        return entry.failure
    if entry.flag:
        return f"flagged: {entry.flag}"
    return None if complete else "it was not measured here"


def _launch_bound(wall: Location | None, kernels: float) -> tuple[str, ...]:
    """That a call on a GPU takes as long as launching its kernels, in words; empty where it does not, or where that is not known."""
    if wall is None or not wall.log > kernels + math.log(LAUNCH_BOUND):
        return ()
    return (f"launch-bound: a call takes {seconds_text(math.exp(wall.log))}, and its kernels {seconds_text(math.exp(kernels))}",)


def _mean(bases: Sequence[Location]) -> Location:
    """One denominator for processes of several sessions, as sure as the mean of theirs."""
    if len(bases) == 1:
        return bases[0]
    variance = sum(base.variance for base in bases) / len(bases)
    return Location(0.0, variance, min(base.freedom for base in bases), min(base.processes for base in bases))
