"""The model of times: a cost is the median over processes of the medians over samples, and processes differ beyond their samples.

Two processes that time the same code differ by a few percent, however many samples each takes: by where their memory lies, for instance.
So a process is one sample of such effects. All of it is in logarithms, where factors add up.

Intervals of 95 % cover 95 to 97 % where processes differ by what is known beforehand. Where they differ by 4 %, they cover 89 to 92 % with
four cells of three processes to show it, 92 to 94 % with a dozen and 94 to 95 % with sixty; where by 0.5 %, more than 95 %
(tests/stats/test_sessions.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, ndtri, stdtr, stdtrit

from attnbench.stats.intervals import FURTHEST, Interval, exp

Floats = NDArray[np.float64]
Whole = NDArray[np.intp]

KNOWN_SD = 0.017  # of the logarithm of a time between processes: rms over 44 cells that were measured twice
KNOWN_FREEDOM = 4.0  # degrees of freedom that this prior is worth: another machine may differ from it by a factor
USUAL = 20.0  # degrees of freedom with which the noise of the samples of one cell is taken to be like that of all
FAR = 4.0  # spreads, beyond which a difference of processes is a fault and says nothing of other cells
OUTER, CLIPPED_FROM = 10, 7  # of seven samples or more the outermost tenth, at least one, is set to the next within: a stall changes little
OUTLYING = 0.01  # p-value below which the processes of a cell differ by more than the spread that all cells share
CONFIDENCE = 0.95
MANY = 1e9  # degrees of freedom; more are a normal distribution, and infinitely many no number to scipy
# Variance of the median of n normal samples over that of one of them, n = 1 to 10. A median of three is no mean of three: 0.449, not 0.333.
_MEDIAN = np.array([1.0, 0.5, 0.4487, 0.2982, 0.2868, 0.2147, 0.2104, 0.1681, 0.1661, 0.1382])


def median_variance(counts: Whole) -> Floats:
    """The variance of the median of so many normal samples, over the variance of one of them."""
    given = np.maximum(np.asarray(counts), 1)
    many = math.pi / 2 / (given + math.pi / 2 - 1)
    return np.where(given <= len(_MEDIAN), _MEDIAN[np.minimum(given, len(_MEDIAN)) - 1], many)


@dataclass(frozen=True)
class Medians:
    """What each process measured.

    log: the logarithm of the median of its samples. error: the variance of that by the noise of its samples. freedom: the degrees of
    freedom by which the error is known; 0 for a single sample, which says nothing of its noise.
    """

    log: Floats
    error: Floats
    freedom: Floats

    def of(self, places: Whole) -> Medians:
        """Those of some processes, by index."""
        return Medians(self.log[places], self.error[places], self.freedom[places])


def medians(samples: Sequence[Sequence[float]]) -> Medians:
    """The medians of many processes. samples: of each, all above zero; a process without any has the median NaN."""
    counts = np.fromiter(map(len, samples), dtype=np.intp, count=len(samples))
    log, error, freedom = np.full(len(samples), np.nan), np.zeros(len(samples)), np.zeros(len(samples))
    for count in np.unique(counts[counts > 0]).tolist():
        mine = np.flatnonzero(counts == count)
        ordered = np.sort(np.log(np.array([samples[i] for i in mine.tolist()], dtype=float)), axis=1)
        log[mine] = (ordered[:, (count - 1) // 2] + ordered[:, count // 2]) / 2
        if count == 1:
            continue
        outer = max(1, count // OUTER) if count >= CLIPPED_FROM else 0
        clipped = np.clip(ordered, ordered[:, outer, None], ordered[:, count - 1 - outer, None])
        error[mine] = clipped.var(axis=1, ddof=1) / _clipped_variance(outer / count) * median_variance(np.array([count]))
        freedom[mine] = count - 1 - 3 * outer
    return Medians(log, error, freedom)


def _clipped_variance(share: float) -> float:
    """The variance of normal samples of which a share on either side is set to the next within, over that of the samples as they are."""
    if not share:
        return 1.0
    at = -float(ndtri(share))
    return 1 - 2 * share - 2 * at * math.exp(-(at**2) / 2) / math.sqrt(2 * math.pi) + 2 * share * at**2


@dataclass(frozen=True)
class Spread:
    """How far processes differ: the standard deviation of a logarithm, and the degrees of freedom by which it is known."""

    sd: float = KNOWN_SD
    freedom: float = math.inf


KNOWN = Spread()


def between_processes(given: Medians, cells: Whole) -> Spread:
    """The spread between processes, from all cells that were measured in more than one, with what is known beforehand.

    cells: the number of each process's cell. What the noise of samples explains is taken off. A cell counts the less, the larger that noise
    is beside the known spread. A first estimate, in which differences count up to FAR known spreads, says up to where they count in the
    second. Beside m measured degrees of freedom the prior is worth four, and the estimate has 4 + m; without any, the spread is taken as
    known.
    """
    counts = np.bincount(cells)
    several = counts > 1
    if not several.any():
        return KNOWN
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, noise = (np.bincount(cells, of, len(counts)) / counts for of in (given.log, given.error))
    squares = np.bincount(cells, (given.log - mean[cells]) ** 2, len(counts))[several]
    freedom, noise, known = counts[several] - 1.0, noise[several], KNOWN_SD**2
    of_samples = np.bincount(cells, given.freedom, len(counts))[several]
    usual = (of_samples * noise + USUAL * noise.mean()) / (of_samples + USUAL)  # noise that seems low by chance must not weigh more
    weight = (known / (known + usual)) ** 2
    measured, variance = float((weight * freedom).sum()), known
    for _ in range(2):
        excess = np.minimum(squares, freedom * (FAR**2 * variance + noise)) - freedom * noise
        variance = max(0.0, (KNOWN_FREEDOM * known + float((weight * excess).sum())) / (KNOWN_FREEDOM + measured))
    return Spread(math.sqrt(variance), KNOWN_FREEDOM + measured)


@dataclass(frozen=True)
class Locations:
    """The costs of several cells: logarithms, their variances (infinite where unknown), degrees of freedom, and numbers of processes."""

    log: Floats
    variance: Floats
    freedom: Floats
    processes: Whole

    def at(self, place: int) -> Location | None:
        """That of one cell; None where it has none, and its logarithm is NaN."""
        if np.isnan(self.log[place]):
            return None
        return Location(float(self.log[place]), float(self.variance[place]), float(self.freedom[place]), int(self.processes[place]))

    def intervals(self, confidence: float = CONFIDENCE) -> tuple[Floats, Floats, Floats, Floats]:
        """Value, lower and upper bound and confidence of each cell, as Location.interval gives them one by one."""
        known = np.isfinite(self.variance)
        half = -stdtrit(np.clip(self.freedom, 1.0, MANY), (1 - confidence) / 2) * np.sqrt(np.where(known, self.variance, 0.0))
        value, low, high = (np.exp(np.clip(log, -FURTHEST, FURTHEST)) for log in (self.log, self.log - half, self.log + half))
        return value, low, high, np.where(np.isnan(self.log), np.nan, np.where(known, confidence, 0.0))


@dataclass(frozen=True)
class Location:
    """The cost of one cell; see Locations."""

    log: float
    variance: float
    freedom: float
    processes: int

    def over(self, other: Location) -> Location:
        """The ratio to another cost that shares no process with it."""
        freedom = satterthwaite((self.variance, self.freedom), (other.variance, other.freedom))
        processes = min(self.processes, other.processes)
        return Location(self.log - other.log, self.variance + other.variance, freedom, processes)

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """The cost with its interval; one whose variance is not known has none, and confidence 0."""
        value = exp(self.log)
        if not math.isfinite(self.variance):
            return Interval(value, value, value, 0.0)
        half = quantile(self.freedom, confidence) * math.sqrt(self.variance)
        return Interval(value, exp(self.log - half), exp(self.log + half), confidence)

    def tails(self) -> tuple[float, float]:
        """One-sided p-values of "it is above 1" and "it is below 1", by Student's t; both 1 where its variance is not known."""
        if not math.isfinite(self.variance):
            return 1.0, 1.0
        if not self.variance:
            return float(self.log <= 0), float(self.log >= 0)
        above = float(stdtr(_finite(self.freedom), -self.log / math.sqrt(self.variance)))
        return above, 1 - above


def quantile(freedom: float, confidence: float = CONFIDENCE) -> float:
    """How many standard errors an interval reaches on either side, by Student's t."""
    return -float(stdtrit(_finite(freedom), (1 - confidence) / 2))


def _finite(freedom: float) -> float:
    return min(max(freedom, 1.0), MANY)


def satterthwaite(*parts: tuple[float, float]) -> float:
    """The degrees of freedom of a sum of variances, each given with its own."""
    total = sum(variance for variance, _ in parts)
    chance = sum(variance**2 / freedom for variance, freedom in parts if freedom > 0)
    return total**2 / chance if chance else math.inf


def locations(given: Medians, cells: Whole, count: int, spread: Spread) -> Locations:
    """The cost of each of `count` cells: the median over its processes, of which there is at least one.

    cells: the number of each process's cell. The variance is that of a median of so many processes, between and within them. Where the
    processes of a cell differ by far more than the spread says, what they show counts instead. A cell of one process with one sample has no
    variance that is known.
    """
    order = np.lexsort((given.log, cells))
    processes = np.bincount(cells, minlength=count)
    starts = np.cumsum(processes) - processes
    ordered = given.log[order]
    log = (ordered[starts + (processes - 1) // 2] + ordered[starts + processes // 2]) / 2
    noise = np.bincount(cells, given.error, count) / processes
    chance = np.bincount(cells, given.error**2 / np.maximum(given.freedom, 1.0), count)  # a single sample has the error 0
    one = spread.sd**2 + noise
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = one**2 / (spread.sd**4 / spread.freedom + chance / processes**2)
    freedom = np.where(np.isnan(freedom), np.inf, freedom)
    own, outlying = _outlying(given.log, cells, processes, one)
    variance = median_variance(processes) * np.where(outlying, own, one)
    alone = (processes == 1) & (np.bincount(cells, given.freedom, count) == 0)
    return Locations(log, np.where(alone, np.inf, variance), np.where(outlying, processes - 1.0, freedom), processes)


def _outlying(log: Floats, cells: Whole, processes: Whole, one: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """The variance between the processes of each cell, and whether it is beyond chance where that of one process is `one`."""
    several = np.maximum(processes - 1, 1)
    mean = np.bincount(cells, log, len(processes)) / processes
    squares = np.bincount(cells, (log - mean[cells]) ** 2, len(processes))
    with np.errstate(invalid="ignore", divide="ignore"):
        outlying = (processes > 1) & (squares / one > chdtri(several, OUTLYING))
    return squares / several, outlying
