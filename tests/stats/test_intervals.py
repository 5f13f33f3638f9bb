"""Medians and means with intervals against known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from attnbench.stats import Interval, mean_interval, median_interval, ratio_interval

POSITIVE = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=30)


def test_median_interval_matches_the_binomial() -> None:
    samples = [float(x) for x in range(1, 21)]
    found = median_interval(samples, confidence=0.95)
    k = int(scipy_stats.binom.ppf(0.025, 20, 0.5))
    assert (found.value, found.low, found.high) == (10.5, samples[k - 1], samples[20 - k])
    assert found.confidence == pytest.approx(1 - 2 * scipy_stats.binom.cdf(k - 1, 20, 0.5))
    assert found.confidence >= 0.95


@pytest.mark.parametrize("n", [501, 777, 2000])
@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_the_interval_of_very_many_samples_is_that_of_the_sum(n: int, confidence: float) -> None:
    """Above 500 samples it comes from the distribution function; the definition is a sum of whole numbers."""
    found = median_interval([float(x) for x in range(1, n + 1)], confidence)
    below = 0
    k = 0
    while 2 * (below + math.comb(n, k)) <= round((1 - confidence) * 1000) * 2**n // 1000:
        below, k = below + math.comb(n, k), k + 1
    assert (found.low, found.high) == (k, n + 1 - k)
    assert found.confidence == pytest.approx(1 - 2 * below / 2**n, abs=1e-9)


def test_few_samples_say_how_sure_they_are() -> None:
    found = median_interval([3.0, 1.0, 2.0])
    assert (found.low, found.value, found.high) == (1.0, 2.0, 3.0)
    assert found.confidence == 0.75
    assert median_interval([5.0]).confidence == 0.0
    assert mean_interval([5.0]) == Interval(5.0, 5.0, 5.0, 0.0)


def test_no_samples_are_refused() -> None:
    for take in (median_interval, mean_interval):
        with pytest.raises(ValueError, match="no samples"):
            take([])


def test_mean_interval_of_few_is_students() -> None:
    samples = [0.91, 0.87, 0.93]
    low, high = scipy_stats.t.interval(0.95, 2, np.mean(samples), scipy_stats.sem(samples))
    assert mean_interval(samples) == Interval(pytest.approx(np.mean(samples)), pytest.approx(low), pytest.approx(high), 0.95)


@given(POSITIVE, st.sampled_from([0.9, 0.95, 0.99]))
def test_intervals_hold_their_value_whatever_the_order(samples: list[float], confidence: float) -> None:
    for take in (median_interval, mean_interval):
        found = take(samples, confidence)
        assert found.low <= found.value * (1 + 1e-9) and found.value <= found.high * (1 + 1e-9)
        assert take(samples[::-1], confidence) == found


def test_more_confidence_is_wider() -> None:
    samples = np.random.default_rng(1).lognormal(size=40).tolist()
    for take in (median_interval, mean_interval):
        wide, narrow = take(samples, 0.99), take(samples, 0.9)
        assert wide.low < narrow.low < narrow.high < wide.high


def test_ratio_bounds_hold_the_extremes() -> None:
    found = ratio_interval(Interval(2, 1, 3, 0.99), Interval(4, 2, 8, 0.75))
    assert (found.value, found.low, found.high, found.confidence) == (0.5, 0.125, 1.5, 0.75)
