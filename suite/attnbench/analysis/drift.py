"""Whether a session's times can be ranked: the drift anchor, one fixed call timed beside every cell, must keep its speed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from attnbench.store.facts import DRIFT_BASELINE
from attnbench.store.record import Record

LIMIT = 1.5  # ratio; quiet machines stay below 1.2, another program at work on the same cores gives 1.5 to 3

SessionKey = tuple[str, str]


@dataclass(frozen=True)
class Drift:
    """The speed of the drift anchor over the cells of a session.

    cells:    how many were timed beside the anchor.
    median_s: median over cells of their medians.
    ratio:    95th over 5th percentile of the cells' medians.
    baseline: median_s over what the anchor took when the machine's peaks were measured; None when that is not known.
    """

    cells: int
    median_s: float
    ratio: float
    baseline: float | None

    @property
    def flag(self) -> str | None:
        """Why the session does not rank; None if it does."""
        if not self.cells:
            return "no cell was timed beside the drift anchor"
        if self.ratio > LIMIT:
            return f"the machine's speed changed {self.ratio:.2f}-fold during the session; {LIMIT:g} is allowed"
        if self.baseline is not None and self.baseline > LIMIT:
            return f"the machine was {self.baseline:.2f} times slower than when its peaks were measured; {LIMIT:g} is allowed"
        return None


class Drifts:
    """Collects the drift of every session, record by record; if a session measured a cell twice, both count."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._medians: dict[SessionKey, list[float]] = {}
        self._baselines: dict[SessionKey, list[float]] = {}
        for record in records:
            self.see(record)

    def see(self, record: Record) -> None:
        """Take note of a record."""
        key = record.machine, record.session
        medians = self._medians.setdefault(key, [])
        samples = record.measurements.get("drift_anchor_s")
        if samples:
            medians.append(median(samples))
            baseline = record.environment.get(DRIFT_BASELINE)
            if isinstance(baseline, (int, float)) and baseline > 0:
                self._baselines.setdefault(key, []).append(baseline)

    def sessions(self) -> list[SessionKey]:
        return list(self._medians)

    def of(self, machine: str, session: str) -> Drift:
        """The drift of a session that was seen."""
        ordered = sorted(self._medians[machine, session])
        if not ordered:
            return Drift(0, 0.0, 1.0, None)
        last, middle = len(ordered) - 1, median(ordered)
        known = self._baselines.get((machine, session))
        baseline = middle / median(known) if known else None
        return Drift(len(ordered), middle, ordered[round(0.95 * last)] / ordered[round(0.05 * last)], baseline)

    def flags(self) -> dict[SessionKey, str]:
        """The reason why a session does not rank, for each session that does not."""
        return {key: flag for key in self._medians if (flag := self.of(*key).flag) is not None}
