"""Pure statistics of samples: medians with intervals, growth exponents, ranks with ties."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A value between two bounds, with the confidence that the bounds have (0.99 was asked for, few samples give less)."""

    value: float
    low: float
    high: float
    confidence: float


@dataclass(frozen=True)
class Exponent:
    """Slope of log cost against log size, and the bounds of its 95 % interval (infinite for two points)."""

    value: float
    low: float
    high: float


def median_interval(samples: Sequence[float], confidence: float = 0.99) -> Interval:
    """Median and a nonparametric interval between order statistics: no assumption on the distribution.

    The interval (x_(k), x_(n+1-k)) covers the median with probability 1 - 2 P(B < k), B ~ Binomial(n, 1/2). With too few samples
    for the confidence it is the whole range, and the confidence that this has.

    Raises ValueError without samples.
    """
    if not samples:
        raise ValueError("no samples to take a median of")
    ordered = sorted(samples)
    n = len(ordered)
    tail, k = 0.0, 0
    while k < (n + 1) // 2:
        mass = math.comb(n, k) / 2**n
        if 2 * (tail + mass) > 1 - confidence:
            break
        tail += mass
        k += 1
    if k == 0:
        return Interval(float(np.median(ordered)), ordered[0], ordered[-1], 1 - 2 * 0.5**n if n > 1 else 0.0)
    return Interval(float(np.median(ordered)), ordered[k - 1], ordered[n - k], 1 - 2 * tail)


def mean_interval(samples: Sequence[float], confidence: float = 0.95, resamples: int = 2000) -> Interval:
    """Mean over seeds and a percentile bootstrap interval; one sample has no interval, and confidence 0.

    Raises ValueError without samples.
    """
    if not samples:
        raise ValueError("no samples to take a mean of")
    values = np.sort(np.asarray(samples, dtype=float))
    if len(values) == 1:
        return Interval(float(values[0]), float(values[0]), float(values[0]), 0.0)
    draws = np.random.default_rng(0).choice(values, size=(resamples, len(values))).mean(axis=1)
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(values.mean()), float(low), float(high), confidence)


def ratio_interval(numerator: Interval, denominator: Interval) -> Interval:
    """Ratio of two positive values with bounds from the bounds of both: conservative, its confidence the lesser one."""
    return Interval(
        numerator.value / denominator.value,
        numerator.low / denominator.high,
        numerator.high / denominator.low,
        min(numerator.confidence, denominator.confidence),
    )


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> Exponent:
    """Growth exponent by least squares on logarithms.

    Raises ValueError for fewer than two distinct sizes, or values that are not positive.
    """
    from scipy import stats as scipy_stats

    if len(set(sizes)) < 2:
        raise ValueError(f"an exponent needs at least two sizes; there is {sorted(set(sizes))}")
    if min(*sizes, *costs) <= 0:
        raise ValueError("an exponent needs positive sizes and costs")
    fit = scipy_stats.linregress(np.log(sizes), np.log(costs))
    freedom = len(sizes) - 2
    half = float(scipy_stats.t.ppf(0.975, freedom) * fit.stderr) if freedom else math.inf
    return Exponent(float(fit.slope), float(fit.slope) - half, float(fit.slope) + half)


def ranks(intervals: Mapping[str, Interval], lower_is_better: bool = True) -> dict[str, tuple[int, int]]:
    """First and last rank each name could have: only intervals that do not overlap are ordered.

    >>> ranks({"a": Interval(1, 0.9, 1.1, 0.99), "b": Interval(1.05, 1, 1.2, 0.99), "c": Interval(9, 8, 10, 0.99)})
    {'a': (1, 2), 'b': (1, 2), 'c': (3, 3)}
    """

    def beats(one: Interval, other: Interval) -> bool:
        return one.high < other.low if lower_is_better else one.low > other.high

    return {
        name: (
            1 + sum(beats(other, mine) for other in intervals.values()),
            len(intervals) - sum(beats(mine, other) for other in intervals.values()),
        )
        for name, mine in intervals.items()
    }
