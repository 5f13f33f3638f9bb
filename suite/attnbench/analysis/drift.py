"""Whether the machine kept its speed: by the drift anchor, one fixed call timed before and after the rounds of every cell.

It is judged cell by cell. Where the speed changed, a cell's seconds do not rank, but its ratios to softmax in the same rounds do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnbench.store.facts import APART, DRIFT_BASELINE
from attnbench.store.record import Record

LIMIT = 1.3  # ratio; 99 in 100 cells of quiet machines stay below it from before to after, and other programs give 1.5 to 3
NEAR = 3  # cells before and after, which with the cell itself say how fast the machine was: no mechanism moves a median of seven alone
SHORTEST_S = 1e-3  # of an anchor; a shorter call is launched for as long as it runs, and drifts where longer ones do not
# The speed is corrected as far as softmax, in the rounds of the cells, followed the anchor. That is taken to be not at all until the cells
# show more than ten of them would at the noise of an anchor.
UNMOVED, NOISE = 10.0, 0.03
COMPARED = 4  # cells of one shape, at least, by which softmax's time in one of them is known to be long or short

SessionKey = tuple[str, str]
Floats = NDArray[np.float64]
_shape = attrgetter(
    "track", "device", "dtype", "mode", "causal", "batch_size", "num_heads", "num_kv_heads", "head_dim", "seq_len", "padded", "block",
    "num_layers", "token_shift", "positions", "task", "difficulty", "data",
)  # fmt: skip
_NONE = ((), ())


@dataclass(frozen=True)
class Drift:
    """The speed of the drift anchor over the cells of a session.

    cells:    how many were timed beside the anchor.
    timed:    how many were to be timed at all, older training runs among them.
    median_s: median over cells of their medians.
    ratio:    95th over 5th percentile of the cells' medians.
    baseline: median_s over what the anchor took when the machine's peaks were measured; None when that is not known.
    """

    cells: int
    median_s: float
    ratio: float
    baseline: float | None
    timed: int = 1

    @property
    def flag(self) -> str | None:
        """Why no time of the session ranks; None where some do. Which cells of a session do not rank is said of each, see Speeds."""
        return None if self.cells or not self.timed else "no cell was timed beside the drift anchor"

    @property
    def note(self) -> str | None:
        """What a reader of the session's numbers must know; None where there is nothing."""
        told = [] if not self.cells or (short := not_judged(self.median_s)) is None else [short]
        if self.baseline is not None and self.baseline > LIMIT:
            told.append(
                f"the machine was {self.baseline:.2f} times slower than when its peaks were measured: shares of a peak are low by that"
            )
        return "; ".join(told) or None


def not_judged(anchor_s: float) -> str | None:
    """That drift is not judged by an anchor that takes so long; None where it is.

    >>> not_judged(0.0004)
    'drift was not judged: its anchor takes 0.4 ms'
    """
    return f"drift was not judged: its anchor takes {1e3 * anchor_s:.2g} ms" if anchor_s < SHORTEST_S else None


@dataclass(frozen=True)
class Speeds:
    """Of every record that was seen, in that order.

    slower: by which factor the machine was slower, near the cell in time, than in the middle of its session, as far as softmax followed; 1
    where that is not known. why: why the cell's seconds do not rank; None where they do.
    """

    slower: Floats
    why: list[str | None]


@dataclass
class _Session:
    """What is kept of a session's records: places among all records, times, shapes, and anchors in seconds."""

    places: list[int]
    started: list[tuple[str, str]]
    shapes: list[Any]
    anchors: list[tuple[Sequence[float], Sequence[float]]]  # the drift anchor, and softmax in the cell's rounds
    timed: int = 0


class Drifts:
    """Collects the drift of every session, record by record; if a session measured a cell twice, both count."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._sessions: dict[SessionKey, _Session] = {}
        self._baselines: dict[SessionKey, list[float]] = {}
        self._seen = 0
        for record in records:
            self.see(record)

    def see(self, record: Record) -> None:
        """Take note of a record."""
        key = record.machine, record.session
        session = self._sessions.setdefault(key, _Session([], [], [], []))
        anchors = tuple(record.measurements.get(name, ()) for name in ("drift_anchor_s", "anchor_s"))
        session.timed += record.spec.is_timed or record.environment.get("timing") != APART
        session.places.append(self._seen)
        session.started.append((record.started_at, record.id))  # of cells that began in the same second any order will do, if it is one
        session.shapes.append((record.environment.get("threads"), *_shape(record.spec)) if anchors != _NONE else None)
        session.anchors.append(anchors)  # type: ignore[arg-type]
        self._seen += 1
        baseline = record.environment.get(DRIFT_BASELINE)
        if anchors[0] and isinstance(baseline, (int, float)) and baseline > 0:
            self._baselines.setdefault(key, []).append(baseline)

    def sessions(self) -> list[SessionKey]:
        return list(self._sessions)

    def of(self, machine: str, session: str) -> Drift:
        """The drift of a session that was seen."""
        ordered = sorted(median(drift) for drift, _ in self._sessions[machine, session].anchors if drift)
        if not ordered:
            return Drift(0, 0.0, 1.0, None, self._sessions[machine, session].timed)
        last, middle = len(ordered) - 1, median(ordered)
        known = self._baselines.get((machine, session))
        baseline = middle / median(known) if known else None
        return Drift(len(ordered), middle, ordered[round(0.95 * last)] / ordered[round(0.05 * last)], baseline)

    def flags(self) -> dict[SessionKey, str]:
        """Why no time of a session ranks, for each session of which none does."""
        return {key: flag for key in self._sessions if (flag := self.of(*key).flag)}

    def speeds(self) -> Speeds:
        """The speed of the machine near every record, and which cells drifted."""
        slower, why = np.ones(self._seen), list[str | None]([None]) * self._seen
        for session in self._sessions.values():
            # Another device or number of threads has another anchor.
            parts: dict[Any, list[int]] = {}
            for place, shape in enumerate(session.shapes):
                if shape is not None and session.anchors[place][0]:
                    parts.setdefault((shape[0], shape[2]), []).append(place)
            for part in parts.values():
                _judge(session, sorted(part, key=session.started.__getitem__), slower, why)
        return Speeds(slower, why)


def _judge(session: _Session, part: list[int], slower: Floats, why: list[str | None]) -> None:
    """Write the speed near each of some cells of a session, which are in the order of time, and why its seconds do not rank."""
    drift = [session.anchors[place][0] for place in part]
    middles = np.log([median(samples) for samples in drift])
    if not_judged(math.exp(float(np.median(middles)))):
        return
    near = _running_median(middles) - float(np.median(middles))
    correction = np.exp(_followed(session, part, near) * near)
    for place, samples, speed, factor in zip(part, drift, np.exp(near).tolist(), correction.tolist(), strict=True):
        half = len(samples) // 2
        within = median(samples[half:]) / median(samples[:half]) if half > 1 else 1.0
        slower[session.places[place]] = factor
        if max(within, 1 / within) > LIMIT:
            said = f"the machine's speed changed {max(within, 1 / within):.2f}-fold while it was measured"
        elif max(speed, 1 / speed) > LIMIT:
            said = f"the machine was {max(speed, 1 / speed):.2f} times {'slower' if speed > 1 else 'faster'} than in most of its session"
        else:
            continue
        why[session.places[place]] = f"{said}; {LIMIT:g} is allowed"


def _running_median(values: Floats) -> Floats:
    """The median of each value, NEAR before it and NEAR after it."""
    padded = np.concatenate([np.full(NEAR, np.nan), values, np.full(NEAR, np.nan)])
    found: Floats = np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, 2 * NEAR + 1), axis=1)
    return found


def _followed(session: _Session, part: list[int], near: Floats) -> float:
    """Which share of a change of the drift anchor softmax's time shows, in the rounds of the cells: 0 to 1.

    A regression through the origin: of softmax's time in a cell, over the median of those in all cells of its shape, on the anchor's.
    """
    by_shape: dict[Any, list[int]] = {}
    for index, place in enumerate(part):
        if session.anchors[place][1]:
            by_shape.setdefault(session.shapes[place], []).append(index)
    product = square = 0.0
    for own in (np.array(of) for of in by_shape.values() if len(of) >= COMPARED):
        turns = np.log([median(session.anchors[part[index]][1]) for index in own.tolist()])
        product += float((turns - np.median(turns)) @ near[own])
        square += float(near[own] @ near[own])
    return min(1.0, max(0.0, product / (square + UNMOVED * NOISE**2)))
