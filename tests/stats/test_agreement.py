"""Tests and ranks agree with independent implementations: scipy, scikit-posthocs, and published tables."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scikit_posthocs
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from attnbench.stats import (
    average_ranks,
    cost_p_values,
    decided,
    mean_interval,
    paired_p_values,
    rejected,
)
from attnbench.stats.difference import RESOLUTION
from attnbench.stats.intervals import expanded_tail

DEMSAR = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}  # table 5(a), at 0.05


def test_cost_p_values_are_students() -> None:
    log, error = np.array([0.0, 0.1, -0.2]), np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]]) / 100
    freedom = np.array([[1.0, 4.0, 9.0], [4.0, 1.0, math.inf], [9.0, math.inf, 1.0]])
    found = cost_p_values(log, error, freedom)
    for i, j in itertools.permutations(range(3), 2):
        t, degrees = (log[i] - log[j]) / math.sqrt(error[i, j]), freedom[i, j]
        expected = scipy_stats.norm.sf(t) if math.isinf(degrees) else scipy_stats.t.sf(t, degrees)
        assert found[i, j] == pytest.approx(expected, rel=1e-6)
    unknown = np.full((2, 2), math.inf)
    assert (cost_p_values(np.array([0.0, 9.0]), unknown, unknown) == 1).all()


def test_paired_p_values_are_scipys() -> None:
    chance = np.random.default_rng(3)
    scores = chance.normal(0.8, 0.05, (40, 2, 5))
    for mine, theirs in scores:
        found = paired_p_values([dict(enumerate(mine)), {**dict(enumerate(theirs)), 99: 0.1}])
        for p, pair in ((found[0, 1], (mine, theirs)), (found[1, 0], (theirs, mine))):
            assert p == pytest.approx(scipy_stats.ttest_rel(*pair, alternative="greater").pvalue, rel=1e-9)


def test_equal_differences_count_as_spread_as_scores_are_resolved() -> None:
    mine, theirs = {0: 0.5, 1: 0.7, 2: 0.6}, {0: 0.4, 1: 0.6, 2: 0.5}
    assert paired_p_values([mine, theirs])[0, 1] == pytest.approx(scipy_stats.t.sf(0.1 / (RESOLUTION / math.sqrt(3)), 2))
    assert paired_p_values([mine, mine])[0, 1] == pytest.approx(0.5)
    assert paired_p_values([mine, {0: 0.1}])[0, 1] == 1  # one common seed
    assert paired_p_values([mine, {7: 0.1, 8: 0.1}])[0, 1] == 1  # none


def test_a_pair_whose_differences_are_close_by_chance_borrows_half_the_usual_spread() -> None:
    scores = [dict(enumerate(mine)) for mine in ([0.90, 0.80, 0.70], [0.88, 0.78, 0.68], [0.70, 0.90, 0.80])]
    spread = np.std([0.20, -0.10, -0.10], ddof=1)  # of the first and the third, and of the second and the third
    assert paired_p_values(scores)[0, 1] == pytest.approx(scipy_stats.t.sf(0.02 / (spread / 2 / math.sqrt(3)), 2))


@pytest.mark.parametrize("count", [10, 12, 30])
def test_mean_interval_is_scipys_bootstrap_at_the_expanded_level(count: int) -> None:
    samples = np.random.default_rng(count).normal(0.8, 0.02, count).tolist()
    level, chance = 1 - 2 * expanded_tail(count, 0.025), np.random.default_rng(2)
    their = scipy_stats.bootstrap((samples,), np.mean, n_resamples=20_000, method="percentile", confidence_level=level, rng=chance)
    mine = mean_interval(samples, resamples=20_000)
    # A bootstrap of r resamples sees the quantile at q with a standard error of sqrt(q (1 - q) / r) over the density there: about 0.03 of
    # the mean's own error at q = 0.015. Four of them.
    tolerance = 4 * 0.03 * float(np.std(samples, ddof=1)) / math.sqrt(count)
    assert (mine.low, mine.high) == (
        pytest.approx(their.confidence_interval.low, abs=tolerance),
        pytest.approx(their.confidence_interval.high, abs=tolerance),
    )
    half = scipy_stats.t.ppf(0.975, count - 1) * scipy_stats.sem(samples)  # and about as wide as Student's
    assert mine.high - mine.low == pytest.approx(2 * half, rel=0.06)


def test_decided_by_hand() -> None:
    """Six one-sided p-values; two-sided 0.008, 0.030, 0.020, 0.9, 0.048, 0.6: at 0.05 Benjamini and Hochberg's bounds are k 0.05 / 6."""
    p = np.array([[1, 0.004, 0.985, 0.010], [0.996, 1, 0.45, 0.024], [0.015, 0.55, 1, 0.7], [0.99, 0.976, 0.3, 1]])
    # In order: 0.008 <= 0.0083, 0.020 > 0.0167, 0.030 > 0.025, 0.048 > 0.033, and so on: one alone.
    assert np.argwhere(decided(p, 0.05)).tolist() == [[0, 1]]
    # At 0.0751 the third passes, 0.030 <= 0.03755, and brings the second with it; the fourth, 0.048 <= 0.05007, brings all.
    assert np.argwhere(decided(p, 0.0751)).tolist() == [[0, 1], [0, 3], [1, 3], [2, 0]]
    assert not decided(np.ones((1, 1)), 0.05).any()
    assert not decided(np.full((3, 3), 0.5), 0.05).any()


@given(st.lists(st.one_of(st.floats(0, 1), st.floats(0, 0.02)), max_size=30), st.sampled_from([0.01, 0.05, 0.2]))
def test_rejected_is_scipys_false_discovery_control(p_values: list[float], level: float) -> None:
    adjusted = scipy_stats.false_discovery_control(p_values) if p_values else np.zeros(0)
    near = np.abs(adjusted - level) < 1e-12
    assert (near | (rejected(np.array(p_values), level) == (adjusted <= level))).all()


@pytest.mark.parametrize(("competitors", "q"), DEMSAR.items())
def test_the_critical_difference_is_the_published_one(competitors: int, q: float) -> None:
    scores: NDArray[np.float64] = np.random.default_rng(0).random((14, competitors))
    expected = q * math.sqrt(competitors * (competitors + 1) / (6 * 14))
    assert average_ranks(scores).critical_difference == pytest.approx(expected, rel=5e-4)


@pytest.mark.parametrize("digits", [12, 1])
@pytest.mark.parametrize("effect", [0.0, 0.1, 0.3])
def test_average_ranks_are_friedmans_and_nemenyis(effect: float, digits: int) -> None:
    chance, told = np.random.default_rng(5), 0
    for _ in range(15):
        scores = np.round(chance.normal(0.5, 0.2, (12, 5)) + effect * np.arange(5), digits)
        found = average_ranks(scores)
        friedman = scipy_stats.friedmanchisquare(*scores.T).pvalue
        assert found.friedman_p == pytest.approx(friedman, rel=1e-9)
        assert found.ranks == pytest.approx(scipy_stats.rankdata(-scores, axis=1).mean(axis=0).tolist())
        apart = scikit_posthocs.posthoc_nemenyi_friedman(scores).to_numpy() < 0.05
        better = np.subtract.outer(found.ranks, found.ranks) < 0
        assert (found.beats == (apart & better & (friedman <= 0.05))).all()
        told += int(found.beats.any())
    assert told == 15 or effect < 0.3
    assert told < 15 or effect > 0.0


def test_two_competitors_are_the_sign_test() -> None:
    scores = [[0.9, 0.8]] * 9 + [[0.1, 0.2]]
    found = average_ranks(scores)
    assert found.ranks == pytest.approx([1.1, 1.9])
    assert found.friedman_p == pytest.approx(scipy_stats.chi2.sf((9 - 1) ** 2 / 10, 1))
    assert np.argwhere(found.beats).tolist() == [[0, 1]]
