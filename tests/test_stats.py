"""Statistics against known answers and their nominal coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from attnbench.stats import Interval, exponent, mean_interval, median_interval, ranks, ratio_interval


def test_median_interval_matches_the_binomial() -> None:
    samples = [float(x) for x in range(1, 21)]
    found = median_interval(samples, confidence=0.95)
    k = int(scipy_stats.binom.ppf(0.025, 20, 0.5))
    assert (found.value, found.low, found.high) == (10.5, samples[k - 1], samples[20 - k])
    assert found.confidence == pytest.approx(1 - 2 * scipy_stats.binom.cdf(k - 1, 20, 0.5))
    assert found.confidence >= 0.95


@pytest.mark.parametrize("size", [12, 30, 101])
def test_median_interval_covers_at_its_rate(size: int) -> None:
    draw = np.random.default_rng(7).lognormal(size=(4000, size))
    found = [median_interval(list(row)) for row in draw]
    covered = np.mean([i.low <= 1.0 <= i.high for i in found])
    assert covered >= 0.99 - 0.005


def test_few_samples_say_how_sure_they_are() -> None:
    found = median_interval([3.0, 1.0, 2.0])
    assert (found.low, found.value, found.high) == (1.0, 2.0, 3.0)
    assert found.confidence == 0.75
    assert median_interval([5.0]).confidence == 0.0


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        median_interval([])
    with pytest.raises(ValueError, match="no samples"):
        mean_interval([])


def test_mean_interval_agrees_with_scipys_bootstrap() -> None:
    samples = list(np.random.default_rng(1).normal(0.8, 0.02, size=12))
    mine = mean_interval(samples)
    theirs = scipy_stats.bootstrap((samples,), np.mean, method="percentile", rng=np.random.default_rng(2)).confidence_interval
    assert mine.value == pytest.approx(np.mean(samples))
    assert mine.low == pytest.approx(theirs.low, abs=2e-3)
    assert mine.high == pytest.approx(theirs.high, abs=2e-3)
    assert mean_interval(samples) == mean_interval(samples[::-1])


@given(st.floats(0.1, 3.0), st.floats(1e-6, 1e3))
def test_exponent_recovers_a_power_law(power: float, factor: float) -> None:
    sizes = [128.0, 512.0, 2048.0, 8192.0]
    found = exponent(sizes, [factor * n**power for n in sizes])
    assert found.value == pytest.approx(power, abs=1e-9)
    assert found.low <= found.value <= found.high


def test_exponent_of_two_points_has_no_interval() -> None:
    assert exponent([1.0, 2.0], [1.0, 4.0]).high == math.inf
    with pytest.raises(ValueError, match="two sizes"):
        exponent([4.0, 4.0], [1.0, 2.0])


def test_ratio_bounds_hold_the_extremes() -> None:
    found = ratio_interval(Interval(2, 1, 3, 0.99), Interval(4, 2, 8, 0.75))
    assert (found.value, found.low, found.high, found.confidence) == (0.5, 0.125, 1.5, 0.75)


def test_overlapping_intervals_share_ranks() -> None:
    intervals = {
        "a": Interval(1, 0.9, 1.1, 1), "b": Interval(1.05, 1.0, 1.2, 1), "c": Interval(1.18, 1.15, 1.3, 1), "d": Interval(9, 8, 10, 1),
    }  # fmt: skip
    assert ranks(intervals) == {"a": (1, 2), "b": (1, 3), "c": (2, 3), "d": (4, 4)}
    assert ranks(intervals, lower_is_better=False)["d"] == (1, 1)
