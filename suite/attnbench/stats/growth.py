"""How a cost grows with a size: exponents, the size from which on one is cheaper than another, the largest size within a budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from attnbench.stats.intervals import Counts, Floats, Interval, exp, median_draws, rank_draws, spread_ends


@dataclass(frozen=True)
class Exponent:
    """Slope of log cost against log size, and the bounds of its interval (infinite for two points)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Crossover:
    """The size from which on, up to the largest measured, a challenger costs less than a baseline.

    found: "crosses" at `value`, within [low, high]; "always", already at the smallest size measured; "never", not even at the largest: in
           both there is no crossover in range; or "undecided", where the interval reaches beyond the sizes measured.
    value: interpolated between two measured sizes; -inf for always, inf for never, and likewise for the bounds.
    sizes: the smallest and the largest that both were measured at.
    """

    found: Literal["crosses", "always", "never", "undecided"]
    value: float
    low: float
    high: float
    sizes: tuple[float, float]


@dataclass(frozen=True)
class Feasible:
    """The largest measured size at which a cost surely stays within a budget, there and at all smaller sizes measured.

    longest: None where not even the smallest does. exceeded: the next size measured, at which it surely or perhaps does not, or at which
    there was no number; None where none was measured, so that the true limit is not known.
    """

    longest: float | None
    exceeded: float | None


def exponent(sizes: Sequence[float], costs: Sequence[float], confidence: float = 0.95) -> Exponent:
    """Growth exponent by least squares on logarithms, with Student's interval, which is wider where the curve is no power law.

    Raises ValueError for fewer than two distinct sizes, or values that are not positive.
    """
    if len(set(sizes)) < 2:
        raise ValueError(f"an exponent needs at least two sizes; there is {sorted(set(sizes))}")
    if min(*sizes, *costs) <= 0:
        raise ValueError("an exponent needs positive sizes and costs")
    x, y = np.log(np.asarray(sizes, dtype=float)), np.log(np.asarray(costs, dtype=float))
    x = x - x.mean()
    spread = float(x @ x)
    slope = float(x @ y) / spread
    freedom = len(x) - 2
    if not freedom:
        return Exponent(slope, -math.inf, math.inf)
    residual = y - y.mean() - slope * x
    half = -float(stdtrit(freedom, (1 - confidence) / 2)) * math.sqrt(float(residual @ residual) / freedom / spread)
    return Exponent(slope, slope - half, slope + half)


def crossover(
    sizes: Sequence[float],
    challenger: Sequence[Sequence[float]],
    baseline: Sequence[Sequence[float]] | None = None,
    confidence: float = 0.95,
    between: float = 0.0,
) -> Crossover:
    """Where a challenger becomes cheaper than a baseline for good.

    sizes: at which both were measured; of each its samples. Without a baseline the challenger's samples are ratios to it. Between sizes the
    ratio is interpolated as a power law. The interval comes from the confidence distribution of the median at every size, which stands
    between the k-th and the next of n ordered samples with probability C(n, k) / 2^n; a single sample is taken as exact. between: standard
    deviation of a log ratio from process to process, which the samples of one cannot show.

    Raises ValueError for fewer than two sizes.
    """
    order = np.argsort(sizes)
    x = np.log(np.asarray(sizes, dtype=float)[order])
    if len(np.unique(x)) < 2 or len(np.unique(x)) < len(x):
        raise ValueError(f"a crossover needs at least two sizes, each once; there are {sorted(sizes)}")
    logs = [np.sort(np.log(np.asarray(challenger[i], dtype=float))) for i in order]
    against = None if baseline is None else [np.sort(np.log(np.asarray(baseline[i], dtype=float))) for i in order]
    draws = _draws(tuple(len(of) for of in (*logs, *(against or ()))), len(logs))
    if sure := _without_draws(x, logs, against, float(np.abs(draws.normal).max()) * between):
        return sure
    middle = np.array([[np.median(mine) for mine in logs]])
    drawn = np.column_stack([median_draws(mine, *draw) for mine, draw in zip(logs, draws.medians, strict=False)])
    if against is not None:
        middle = middle - np.array([[np.median(other) for other in against]])
        others = draws.medians[len(logs) :]
        drawn = drawn - np.column_stack([median_draws(other, *draw) for other, draw in zip(against, others, strict=True)])
    drawn = drawn + between * draws.normal
    (value,), crossings = _crossings(x, middle), _crossings(x, drawn)
    tail = (1 - confidence) / 2
    low, high = np.quantile(crossings, [tail, 1 - tail], method="inverted_cdf")
    found: Literal["crosses", "always", "never", "undecided"] = "undecided"
    if low == high == -math.inf:
        found = "always"
    elif low == high == math.inf:
        found = "never"
    elif math.isfinite(low) and math.isfinite(high):
        found = "crosses"
    first, last = (float(np.exp(end)) for end in (x[0], x[-1]))
    return Crossover(found, _size(value), _size(low), _size(high), (first, last))


@dataclass(frozen=True)
class _Draws:
    """What chance decides in a crossover: the draws for each median, and those of a normal distribution for each size."""

    medians: tuple[tuple[Counts, Floats], ...]
    normal: Floats


@lru_cache(64)  # most crossovers of a leaderboard have as many sizes and samples as the one before
def _draws(counts: tuple[int, ...], sizes: int) -> _Draws:
    """The draws for medians of these counts of samples and for that many sizes; the same at every call."""
    chance = np.random.default_rng(0)
    medians = tuple(rank_draws(count, chance) for count in counts)
    return _Draws(medians, chance.standard_normal((len(medians[0][0]), sizes)))


def _without_draws(x: Floats, logs: Sequence[Floats], against: Sequence[Floats] | None, far: float) -> Crossover | None:
    """The crossover "always" or "never" where no draw can change it, else None: most mechanisms cross nothing, and draws take time."""
    sizes = float(np.exp(x[0])), float(np.exp(x[-1]))
    ends = [spread_ends(mine) for mine in logs]
    bases = [(0.0, 0.0)] * len(ends) if against is None else [spread_ends(other) for other in against]
    if all(high - base_low + far < 0 for (_, high), (base_low, _) in zip(ends, bases, strict=True)):
        return Crossover("always", -math.inf, -math.inf, -math.inf, sizes)
    if ends[-1][0] - bases[-1][1] - far > 0:
        return Crossover("never", math.inf, math.inf, math.inf, sizes)
    return None


def _size(log: float) -> float:
    return exp(log) if math.isfinite(log) else float(log)


def _crossings(x: Floats, y: Floats) -> Floats:
    """For every row of log ratios y over log sizes x: where it falls below zero for good."""
    above = y >= 0
    last = np.where(above.any(axis=1), y.shape[1] - 1 - above[:, ::-1].argmax(axis=1), -1)
    rows, i = np.arange(len(y)), np.clip(last, 0, len(x) - 2)
    here, there = y[rows, i], y[rows, i + 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        between = x[i] + (x[i + 1] - x[i]) * here / (here - there)
    found: Floats = np.where(last < 0, -np.inf, np.where(last == len(x) - 1, np.inf, between))
    return found


def longest_within(costs: dict[float, Interval | None], budget: float) -> Feasible:
    """The largest size within a budget. costs: by size, None where the mechanism ran out of memory or time, or otherwise has no number."""
    longest: float | None = None
    for size in sorted(costs):
        cost = costs[size]
        if cost is None or cost.high > budget:
            return Feasible(longest, size)
        longest = size
    return Feasible(longest, None)
