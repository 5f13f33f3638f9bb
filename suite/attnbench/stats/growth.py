"""How a cost grows with a size: exponents, the size from which on one is cheaper than another, the largest size within a budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from attnbench.stats.intervals import Floats, Interval, exp
from attnbench.stats.processes import Location, quantile

DRAWS = 4000


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


def exponent(sizes: Sequence[float], costs: Sequence[float], variances: Sequence[float] = (), confidence: float = 0.95) -> Exponent:
    """Growth exponent by least squares on logarithms, with its interval.

    The interval is the wider of two: Student's, which is wide where the curve is no power law, and that of the noise of the costs.
    variances: of the logarithm of each cost; none where they are not known.

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
    misfit = quantile(freedom, confidence) * math.sqrt(float(residual @ residual) / freedom / spread)
    noise = quantile(math.inf, confidence) * math.sqrt(float(x**2 @ np.asarray(variances, dtype=float))) / spread if len(variances) else 0.0
    half = max(misfit, noise)
    return Exponent(slope, slope - half, slope + half)


def crossover(sizes: Sequence[float], ratios: Sequence[Location], confidence: float = 0.95) -> Crossover:
    """From which size on a challenger costs less than a baseline, up to the largest measured.

    ratios: at each size, the challenger's cost over the baseline's, with its variance. The interval comes from draws of all ratios
    together; those of Student's t are made from normal ones, widened to the same interval.

    Raises ValueError for fewer than two sizes, or one that occurs twice.
    """
    order = sorted(range(len(sizes)), key=lambda i: sizes[i])
    x = np.log(np.asarray([sizes[i] for i in order], dtype=float))
    if len(x) < 2 or (np.diff(x) <= 0).any():
        raise ValueError(f"a crossover needs at least two sizes, each once; there are {sorted(sizes)}")
    middle = np.array([ratios[i].log for i in order])
    wider = [quantile(ratios[i].freedom, confidence) / quantile(math.inf, confidence) for i in order]
    errors = np.sqrt([ratios[i].variance for i in order]) * wider
    first, last = (float(np.exp(end)) for end in (x[0], x[-1]))
    draws = _draws(len(x))
    far = float(np.abs(draws).max()) * errors
    if (middle + far < 0).all():  # no draw can change it, as for most: draws take time
        return Crossover("always", -math.inf, -math.inf, -math.inf, (first, last))
    if middle[-1] - far[-1] > 0:
        return Crossover("never", math.inf, math.inf, math.inf, (first, last))
    (value,), crossings = _crossings(x, middle[None]), _crossings(x, middle + draws * errors)
    tail = (1 - confidence) / 2
    low, high = np.quantile(crossings, [tail, 1 - tail], method="inverted_cdf")
    found: Literal["crosses", "always", "never", "undecided"] = "undecided"
    if low == high == -math.inf:
        found = "always"
    elif low == high == math.inf:
        found = "never"
    elif math.isfinite(low) and math.isfinite(high):
        found = "crosses"
    return Crossover(found, _size(value), _size(low), _size(high), (first, last))


@lru_cache(64)  # most crossovers of a leaderboard have as many sizes as the one before
def _draws(sizes: int) -> Floats:
    """Draws of a normal distribution for so many sizes; the same at every call."""
    return np.random.default_rng(0).standard_normal((DRAWS, sizes))


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
