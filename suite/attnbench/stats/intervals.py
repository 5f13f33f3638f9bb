"""Medians and means with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, bdtrik, ndtr, stdtrit

Floats = NDArray[np.float64]

MANY = 500  # samples
FURTHEST = 250 * math.log(10)  # that a logarithm of a cost, or of a bound, is from 0: axes with some room around stay within floats
BOOTSTRAPPED = 10  # samples from which on a bootstrap serves


@dataclass(frozen=True)
class Interval:
    """A value between two bounds, with the confidence that the bounds have (0.95 was asked for, few samples give less)."""

    value: float
    low: float
    high: float
    confidence: float


def median_interval(samples: Sequence[float], confidence: float = 0.95) -> Interval:
    """Median and a nonparametric interval between order statistics: no assumption on the distribution.

    The interval (x_(k), x_(n+1-k)) covers the median with probability 1 - 2 P(B < k), B ~ Binomial(n, 1/2). With too few samples
    for the confidence it is the whole range, and the confidence that this has.

    Raises ValueError without samples.
    """
    if not samples:
        raise ValueError("no samples to take a median of")
    ordered = sorted(samples)
    n = len(ordered)
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    k, reached = _order_statistic(n, confidence)
    return Interval(middle, ordered[max(k, 1) - 1], ordered[n - max(k, 1)], reached)


@cache
def _order_statistic(n: int, confidence: float) -> tuple[int, float]:
    """The k of the narrowest interval (x_(k), x_(n+1-k)) with the confidence, and its confidence; 0 where only the whole range is left."""
    if n > MANY:
        return _order_statistic_of_many(n, confidence)
    tail, k = 0.0, 0
    while k < (n + 1) // 2:
        mass = math.comb(n, k) / 2**n
        if 2 * (tail + mass) > 1 - confidence:
            break
        tail += mass
        k += 1
    return k, 1 - 2 * tail if k else 1 - 2 * 0.5**n if n > 1 else 0.0


def _order_statistic_of_many(n: int, confidence: float) -> tuple[int, float]:
    """The same by the binomial distribution function, for sums of such large whole numbers take seconds."""
    tail = (1 - confidence) / 2
    k = int(bdtrik(tail, n, 0.5)) + 2
    while bdtr(k - 1, n, 0.5) > tail:
        k -= 1
    return k, 1 - 2 * float(bdtr(k - 1, n, 0.5))


def mean_interval(samples: Sequence[float], confidence: float = 0.95, resamples: int = 5000) -> Interval:
    """Mean over seeds and its interval; one sample has no interval, and confidence 0.

    Below ten samples Student's t, for a bootstrap of three covers 75 % however it is done: no resampled mean leaves their range. From ten
    on the percentile bootstrap at Hesterberg's expanded level, which makes up for its narrowness (arXiv 1411.5279, section 4.3).

    Raises ValueError without samples.
    """
    if not samples:
        raise ValueError("no samples to take a mean of")
    values = np.sort(np.asarray(samples, dtype=float))
    mean, n, tail = float(values.mean()), len(values), (1 - confidence) / 2
    if n == 1:
        return Interval(mean, mean, mean, 0.0)
    t = -float(stdtrit(n - 1, tail))
    if n < BOOTSTRAPPED:
        half = t * float(values.std(ddof=1)) / math.sqrt(n)
        return Interval(mean, mean - half, mean + half, confidence)
    draws = np.random.default_rng(0).choice(values, size=(resamples, n)).mean(axis=1)
    low, high = np.quantile(draws, [(expanded := expanded_tail(n, tail)), 1 - expanded])
    return Interval(mean, float(low), float(high), confidence)


def within(interval: Interval, low: float, high: float) -> Interval:
    """An interval cut to what its value can be: Student's of three accuracies may reach beyond 1."""
    return replace(interval, low=max(low, interval.low), high=min(high, interval.high))


def expanded_tail(n: int, tail: float) -> float:
    """The quantile at which a percentile bootstrap of n samples is as wide as Student's t at `tail`. Hesterberg 2015, arXiv 1411.5279."""
    return float(ndtr(math.sqrt(n / (n - 1)) * stdtrit(n - 1, tail)))


def exp(log: float) -> float:
    """e to the power of a logarithm, at least 1e-250 and at most 1e250.

    Bounds of samples that spread over all magnitudes reach beyond; whoever divides by them, or takes their logarithm, is to find a number.
    """
    return math.exp(min(max(log, -FURTHEST), FURTHEST))


def ratio_interval(numerator: Interval, denominator: Interval) -> Interval:
    """Ratio of two positive values with bounds from the bounds of both: conservative, its confidence the lesser one."""
    return Interval(
        numerator.value / denominator.value,
        numerator.low / denominator.high,
        numerator.high / denominator.low,
        min(numerator.confidence, denominator.confidence),
    )
