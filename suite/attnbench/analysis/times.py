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
    none. base: which of the denominators each has, NO_RATIO without; bases: these, softmax's own cells. seconds: NaN where they do not
    count. whys: why one has no rank, None where it has one. notes: what a reader must know. launch_bound: whether a GPU's call takes as
    long as launching its kernels.
    """

    metric: str
    values: Locations
    base: Whole
    bases: list[Location]
    seconds: Locations
    whys: list[str | None]
    notes: list[tuple[str, ...]]
    launch_bound: list[bool]
    resolution: Resolution | None

    def published(self) -> Locations:
        """What is shown of each mechanism, with the error of its denominator."""
        if not self.bases:
            return self.values
        variance, freedom = self.values.variance, self.values.freedom
        below = self._below()
        error, known = (np.append(of, last)[self.base] for of, last in zip(below, (0.0, np.inf), strict=True))  # NO_RATIO is the last
        with np.errstate(divide="ignore", invalid="ignore"):
            joint = (variance + error) ** 2 / (variance**2 / freedom + error**2 / known)
        return Locations(self.values.log, variance + error, np.where(np.isnan(joint), np.inf, joint), self.values.processes)

    def errors(self, places: Sequence[int]) -> tuple[Floats, Floats]:
        """Of each pair of some mechanisms, the variance of their difference and its degrees of freedom."""
        return pair_errors(self.values.variance[places], self.values.freedom[places], self.base[places], *self._below())

    def _below(self) -> tuple[Floats, Floats]:
        """The variances of the denominators, and their degrees of freedom."""
        variance, freedom = ([getattr(base, name) for base in self.bases] for name in ("variance", "freedom"))
        return np.array(variance, dtype=float), np.array(freedom, dtype=float)

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
        drifts = [drift for entry in entries for drift in entry.drifts]
        self._steady = np.array([drift is None for drift in drifts]) & self._measured
        self._own = self._steady & np.isfinite(self._below)  # divided by softmax's own cells

    def made(self, metric: str) -> TimeTable:
        entries = self._entries
        ratios = self._over_softmax()
        relative = self._all(np.isfinite(ratios.log) | ~self._measured)
        whys = [_why(entry, complete) for entry, complete in zip(entries, self._all(self._measured).tolist(), strict=True)]
        candidates = np.array([why is None for why in whys])
        of_interest = candidates if candidates.any() else self._any(self._measured)
        seconds = self._located(self._seconds, self._steady, self._spread)
        notes = [_launch_bound(wall, kernels) for wall, kernels in zip(seconds.log.tolist(), self._medians_of(self._kernels), strict=True)]
        more = [bool(note) for note in notes], self._resolution()
        if not (of_interest.any() and relative[of_interest].all()):
            for place, entry in enumerate(entries):
                if whys[place] is None and np.isnan(seconds.log[place]):
                    whys[place] = f"its seconds do not count: {entry.drift}"
            return TimeTable(metric, seconds, np.full(len(entries), NO_RATIO), [], seconds, whys, notes, *more)
        for place in np.flatnonzero(self._any(self._measured & ~self._own)).tolist():
            if entries[place].label != BASELINE:
                reason = entries[place].drift or "its session has no cell of softmax here that counts"
                notes[place] = (*notes[place], f"ranked by its ratio to softmax in the same rounds: {reason}")
        return TimeTable(RATIO, *self._ratios(ratios), seconds, whys, notes, *more)

    def _over_softmax(self) -> Medians:
        """Of every record its time over softmax's own cells, or where that cannot be over the softmax of the same rounds."""
        by_own = self._seconds.log - self._below, self._seconds.error, self._seconds.freedom
        by_turns = self._turns.log, self._turns.error, self._turns.freedom
        return Medians(*(np.where(self._own, own, turns) for own, turns in zip(by_own, by_turns, strict=True)))

    def _ratios(self, ratios: Medians) -> tuple[Locations, Whole, list[Location]]:
        """The ratios to softmax, which of the denominators each has, and these. Softmax's own is 1, and has no error."""
        pooled = self._any(self._own)
        values = self._located(ratios, pooled[self._owner], self._spread)
        by_turns = self._located(ratios, ~pooled[self._owner], self._spread_of_turns)
        for name in ("log", "variance", "freedom", "processes"):
            np.copyto(getattr(values, name), getattr(by_turns, name), where=~pooled)
        groups: dict[tuple[str, ...], int] = {}
        base = np.full(len(self._entries), NO_RATIO)
        for place, entry in enumerate(self._entries):
            if entry.label == BASELINE and np.isfinite(values.log[place]):
                values.log[place] = values.variance[place] = 0.0
            elif pooled[place]:
                sessions = tuple(sorted({session for session in entry.sessions if session in self._softmax}))
                base[place] = groups.setdefault(sessions, len(groups))
        return values, base, [_mean([self._softmax[session] for session in group]) for group in groups]

    def _located(self, given: Medians, chosen: Bools, spread: Spread) -> Locations:
        """The costs of the mechanisms by their chosen records, NaN for those without any."""
        kept = np.flatnonzero(chosen & np.isfinite(given.log))
        held = np.bincount(self._owner[kept], minlength=len(self._entries)) > 0
        places, numbers = np.flatnonzero(held), (np.cumsum(held) - 1)[self._owner[kept]]
        count = len(self._entries)
        if len(places) == count:
            return locations(given.of(kept), numbers, count, spread)
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
        if not np.isfinite(logs).any():  # as on every CPU
            return found
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


def _launch_bound(wall: float, kernels: float) -> tuple[str, ...]:
    """That a call on a GPU takes as long as launching its kernels, in words; empty where it does not, or where that is not known.

    wall, kernels: logarithms of seconds, NaN where there are none.
    """
    if not wall > kernels + math.log(LAUNCH_BOUND):
        return ()
    return (f"launch-bound: a call takes {seconds_text(math.exp(wall))}, and its kernels {seconds_text(math.exp(kernels))}",)


def _mean(bases: Sequence[Location]) -> Location:
    """One denominator for processes of several sessions, as sure as the mean of theirs."""
    if len(bases) == 1:
        return bases[0]
    variance = sum(base.variance for base in bases) / len(bases)
    return Location(0.0, variance, min(base.freedom for base in bases), min(base.processes for base in bases))
