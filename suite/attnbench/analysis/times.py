"""Makes the table of times of one setting: what each mechanism is ranked by.

A time is published as its ratio to softmax's own cells of the same setting and session. Where the machine's speed changed meanwhile, or
that session has no softmax cell, the ratios to the softmax of the same rounds serve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from attnbench.analysis.entries import Entry
from attnbench.analysis.number_format import seconds as seconds_text
from attnbench.analysis.time_medians import BASELINE, TimeMedians
from attnbench.analysis.time_table import NO_RATIO, RATIO, Bools, Floats, TimeTable, Whole
from attnbench.stats import (  # fmt: skip
    Location,
    Locations,
    Medians,
    Resolution,
    Spread,
    locations,
    median_variance,
    resolution_of,
)

BY_TURNS = "ranked by its ratio to softmax in the same rounds"
LAUNCH_BOUND = 2.0  # times its kernels, beyond which the wall time of a call on a GPU is that of launching them


def time_table(times: TimeMedians, setting: Sequence[Any], entries: Sequence[Entry], metric: str) -> TimeTable:
    """The times of a setting. metric: that of their seconds, "forward_s" for example; entries: every mechanism of the setting."""
    return _Maker(times, setting, entries).made(metric)


class _Maker:
    """Makes the table of one setting. Arrays by record hold the records of all mechanisms, one mechanism after the other."""

    def __init__(self, times: TimeMedians, setting: Sequence[Any], entries: Sequence[Entry]) -> None:
        self._entries = entries
        sizes = [len(entry.records) for entry in entries]
        self._ends = np.cumsum(sizes)[:-1]
        self._owner = np.repeat(np.arange(len(entries)), sizes)
        records = np.array([record for entry in entries for record in entry.records], dtype=np.intp)
        self._seconds, self._turns = times.seconds.of(records), times.turns.of(records)
        self._anchors, self._kernels = times.anchors.log[records], times.kernels[records]
        self._spread, self._spread_of_turns = times.spreads(setting)
        sessions = [session for entry in entries for session in entry.sessions]
        own = {session: times.softmax(setting, session) for session in dict.fromkeys(sessions)}
        self._softmax = {session: base for session, base in own.items() if base is not None}
        self._sessions = np.array(sessions, dtype=object)
        self._below = np.array([base.log if (base := own[session]) else np.nan for session in sessions])
        self._measured = np.isfinite(self._seconds.log)
        drifts = [drift for entry in entries for drift in entry.drifts]
        self._steady = np.array([drift is None for drift in drifts]) & self._measured
        self._own = self._steady & np.isfinite(self._below)  # divided by softmax's own cells
        self._pooled = self._any(self._own)  # the other processes of such a mechanism fall out: a value is by one estimator

    def made(self, metric: str) -> TimeTable:
        entries = self._entries
        ratios = self._over_softmax()
        relative = self._pooled | self._all(np.isfinite(ratios.log) | ~self._measured)
        whys = [_why(entry, complete) for entry, complete in zip(entries, self._all(self._measured).tolist(), strict=True)]
        candidates = np.array([why is None for why in whys])
        of_interest = candidates if candidates.any() else self._any(self._measured)
        seconds = self._located(self._seconds, self._steady, self._spread)
        notes = [_launch_bound(wall, kernels) for wall, kernels in zip(seconds.log.tolist(), self._medians_of(self._kernels), strict=True)]
        more = [bool(note) for note in notes], self._resolution()
        notes = [(*of, entry.unverifiable) if entry.unverifiable else of for of, entry in zip(notes, entries, strict=True)]
        if not (of_interest.any() and relative[of_interest].all()):
            for place, entry in enumerate(entries):
                if whys[place] is None and np.isnan(seconds.log[place]):
                    whys[place] = f"its seconds do not count: {entry.drift}"
            used = self._used(self._steady)
            return TimeTable(metric, seconds, np.full(len(entries), NO_RATIO), [], seconds, whys, notes, used, *more)
        notes = [(*of, *by) for of, by in zip(notes, self._estimators(), strict=True)]
        return TimeTable(RATIO, *self._ratios(ratios), seconds, whys, notes, self._used(self._own), *more)

    def _used(self, first: Bools) -> list[Bools]:
        """For each mechanism, on which of its records its value rests: those of `first`, where it has any, else all that have a time."""
        return np.split(self._measured & np.where(self._any(first)[self._owner], first, True), self._ends)

    def _estimators(self) -> list[tuple[str, ...]]:
        """For each mechanism, in words, that its value is not over softmax's own cells, or not that of all its processes."""
        lost = np.bincount(self._owner[self._measured & ~self._own], minlength=len(self._entries)).tolist()
        found: list[tuple[str, ...]] = []
        for entry, number, pooled in zip(self._entries, lost, self._pooled.tolist(), strict=True):
            reason = entry.drift or "its session has no cell of softmax here that counts"
            by_turns = f"{BY_TURNS}: {reason}"
            some = f"{number} of {len(entry.records)} processes left out: {reason}"
            is_told = number and (pooled or entry.label != BASELINE)
            found.append((some if pooled else by_turns,) if is_told else ())
        return found

    def _over_softmax(self) -> Medians:
        """Of every record its time over softmax's own cells, or where that cannot be over the softmax of the same rounds."""
        by_own = self._seconds.log - self._below, self._seconds.error, self._seconds.freedom
        by_turns = self._turns.log, self._turns.error, self._turns.freedom
        return Medians(*(np.where(self._own, own, turns) for own, turns in zip(by_own, by_turns, strict=True)))

    def _ratios(self, ratios: Medians) -> tuple[Locations, Whole, list[Location]]:
        """The ratios to softmax, which of the denominators each has, and these. Softmax's own is 1, and has no error."""
        pooled = self._pooled
        values = self._located(ratios, self._own, self._spread)
        by_turns = self._located(ratios, ~pooled[self._owner], self._spread_of_turns)
        for name in ("log", "variance", "freedom", "processes"):
            np.copyto(getattr(values, name), getattr(by_turns, name), where=~pooled)
        groups: dict[tuple[str, ...], int] = {}
        base = np.full(len(self._entries), NO_RATIO)
        sessions_of = (set(of[own]) for of, own in zip(*(np.split(of, self._ends) for of in (self._sessions, self._own)), strict=True))
        for place, (entry, own) in enumerate(zip(self._entries, sessions_of, strict=True)):
            if entry.label == BASELINE and np.isfinite(values.log[place]):
                values.log[place] = values.variance[place] = 0.0
            elif pooled[place]:
                base[place] = groups.setdefault(tuple(sorted(own)), len(groups))
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
        """That of softmax's cells in the session that most records are of; without one, of two rows as processes are known to differ."""
        sessions = [session for entry in self._entries for session in entry.sessions if session in self._softmax]
        if not self._measured.any():
            return None
        main = self._softmax[max(sorted(set(sessions)), key=sessions.count)] if sessions else None
        held = self._anchors[np.isfinite(self._anchors)]
        apart = self._anchors - (self._below if main else np.median(held) if len(held) else 0.0)
        noise = float(np.mean(self._seconds.error[self._measured]))
        held_by = np.bincount(self._owner[self._measured])
        usual = main.processes if main else int(np.median(held_by[held_by > 0]))
        variance = float(median_variance(np.array([usual]))[0]) * (self._spread.sd**2 + noise)
        alone = Location(0.0, variance, self._spread.freedom, main.processes if main else 0)
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
    if entry.unverified:
        return entry.unverified
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
