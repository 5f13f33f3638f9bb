"""Means and differences over seeds and test items: by hand, against scipy, and what holds whatever the data."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from attnbench.stats import Difference, Interval, crossed_difference, crossed_mean, decided, higher, least_variance
from attnbench.stats.difference import RESOLUTION

Floats = NDArray[np.float64]
HALVES = np.array([0.5, 0.5])
# Both runs of A find the second block easier by 2. Those of B vary by block, and the first block is the easier by 1 on average.
A, B = np.array([[1.0, 3.0], [3.0, 5.0]]), np.array([[0.0, 0.0], [2.0, 0.0]])
SIZES = st.tuples(st.integers(2, 5), st.integers(2, 5), st.integers(1, 9), st.integers(0, 99))


def drawn(sizes: tuple[int, int, int, int]) -> tuple[Floats, Floats, Floats]:
    """Scores of two mechanisms, of so many seeds and blocks, and the blocks' weights."""
    mine, theirs, blocks, seed = sizes
    chance = np.random.default_rng(seed)
    weights = chance.lognormal(size=blocks)
    return chance.normal(0.8, 0.1, (mine, blocks)), chance.normal(0.7, 0.05, (theirs, blocks)), weights / weights.sum()


def values(found: Difference) -> tuple[float, float, float]:
    return found.value, found.variance, found.freedom


def test_a_difference_by_hand() -> None:
    """Seeds: variances 2 and 0.5, of two seeds each: 1.25. Items: the difference is 1.5 below and above its mean; 0.5 (2.25 + 2.25) is
    2.25, of which seed x item noise of B makes 0.5 (4 x 0.25) / 2 = 0.25: 2 is left. Two blocks are one degree of freedom."""
    found = crossed_difference(A, B, HALVES)
    assert values(found) == pytest.approx((2.5, 3.25, 3.25**2 / (1**2 + 0.25**2 + 2**2)))


def test_a_mean_by_hand() -> None:
    """Of A: seeds 2 / 2, items 0.5 (1 + 1). Of B: seeds 0.5 / 2, items 0.5 (0.25 + 0.25) less 0.25, which is none."""
    assert values(crossed_mean(A, HALVES)) == pytest.approx((3, 2, 2**2 / (1 + 1)))
    assert values(crossed_mean(B, HALVES)) == pytest.approx((0.5, 0.25, 1))


def test_a_variance_of_seeds_is_at_least_a_quarter_of_what_noise_makes_of_it() -> None:
    """The means of the two runs are equal by chance, but block by block they are 1 above and below each other's mean: 0.5 x 4 is 2."""
    equal = np.array([[0.0, 2.0], [2.0, 0.0]])
    assert crossed_mean(equal, HALVES).variance == pytest.approx(2 / 4 / 2)
    assert crossed_mean(equal, HALVES, least=0.6).variance == pytest.approx(0.6 / 2)
    assert crossed_mean(np.array([0.5, 0.5])).variance == pytest.approx(RESOLUTION**2 / 2)


def test_the_least_variance_is_a_quarter_of_the_usual_one() -> None:
    scores = [np.array([0.0, 0.2]), np.array([0.0, 0.4]), np.array([0.0, 2.0]), np.array([9.0])]
    assert least_variance(scores) == pytest.approx(0.08 / 4)
    assert least_variance(scores[-1:]) == 0


@pytest.mark.parametrize("sizes", [(3, 3), (5, 8), (2, 4)])
def test_without_blocks_it_is_welchs(sizes: tuple[int, int]) -> None:
    chance = np.random.default_rng(sum(sizes))
    mine, theirs = chance.normal(0.8, 0.05, sizes[0]), chance.normal(0.7, 0.15, sizes[1])
    expected = scipy_stats.ttest_ind(mine, theirs, equal_var=False)
    interval = expected.confidence_interval(0.95)
    for shape in ((-1,), (-1, 1)):
        found = crossed_difference(mine.reshape(shape), theirs.reshape(shape))
        assert found.freedom == pytest.approx(expected.df)
        half = found.interval()
        assert (half.low, half.high, half.confidence) == pytest.approx((interval.low, interval.high, 0.95))
        assert 2 * min(found.p_above(), found.p_below()) == pytest.approx(expected.pvalue)


@given(SIZES)
def test_what_items_do_to_all_drops_out(sizes: tuple[int, int, int, int]) -> None:
    mine, theirs, weights = drawn(sizes)
    items = np.linspace(-3, 3, len(weights))
    before, after = crossed_difference(mine, theirs, weights), crossed_difference(mine + items, theirs + items, weights)
    assert values(after) == pytest.approx(values(before), rel=1e-6)


@given(SIZES, st.randoms(use_true_random=False))
def test_the_order_of_seeds_and_blocks_says_nothing_and_signs_turn(sizes: tuple[int, int, int, int], order: object) -> None:
    mine, theirs, weights = drawn(sizes)
    chance = np.random.default_rng(sizes[3])
    blocks, seeds = chance.permutation(len(weights)), chance.permutation(len(mine))
    found = crossed_difference(mine, theirs, weights)
    assert values(crossed_difference(mine[seeds][:, blocks], theirs[:, blocks], weights[blocks])) == pytest.approx(values(found))
    turned = crossed_difference(theirs, mine, weights)
    assert values(turned) == pytest.approx((-found.value, found.variance, found.freedom))
    assert turned.p_below(-0.1) == pytest.approx(found.p_above(0.1))
    assert found.p_above(0.1) + found.p_below(0.1) == pytest.approx(1)
    least = min(len(mine) - 1, len(theirs) - 1)
    assert found.variance > 0 and found.freedom >= (min(1.0, least) if len(weights) > 1 else least) - 1e-9


@pytest.mark.parametrize("blocks", [2, 5, 40])
def test_the_items_part_is_a_quadratic_form_of_the_blocks(blocks: int) -> None:
    """Its degrees of freedom are those of such a form: 2 mean^2 / variance, here 1 / tr(Q V Q V), of blocks that vary by 1 / weight."""
    chance = np.random.default_rng(blocks)
    weights = chance.lognormal(0, 1, blocks)
    weights /= weights.sum()
    apart = np.eye(blocks) - weights  # what each block is above the weighted mean
    form = apart.T @ np.diag(weights**2 / (1 - weights)) @ apart @ np.diag(1 / weights)
    assert np.trace(form) == pytest.approx(1)
    fixed = chance.normal(size=blocks)
    found = crossed_mean(np.stack([fixed, fixed]), weights)  # no spread of seeds
    assert found.variance == pytest.approx(fixed @ form @ (weights * fixed))
    assert found.freedom == pytest.approx(1 / np.trace(form @ form))


def test_equal_blocks_are_as_many_degrees_of_freedom_less_one() -> None:
    assert crossed_mean(np.array([[1.0, 2.0, 4.0, 9.0]] * 3), np.full(4, 0.25)).freedom == pytest.approx(3)


@given(st.integers(2, 7), st.integers(1, 9), st.integers(0, 99))
def test_a_table_is_decided_as_its_pairs_are(size: int, blocks: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    weights = chance.dirichlet(np.full(blocks, 5.0))
    scores = [chance.normal(0.1 * i, 0.05, (chance.integers(2, 6), blocks)) for i in range(size)]
    least = least_variance(scores, weights)
    p = np.array([[crossed_difference(a, b, weights, least).p_above() for b in scores] for a in scores])
    beats = higher(scores, weights, 0.05)
    assert (beats == decided(p, 0.05)).all()
    places = chance.permutation(size)
    assert (higher([scores[i] for i in places], weights) == beats[np.ix_(places, places)]).all()


def test_a_table_with_one_that_lacks_blocks_is_compared_without_them() -> None:
    chance, weights = np.random.default_rng(2), np.full(8, 1 / 8)
    scores = [chance.normal(mean, 0.02, (5, 8)) + 0.3 * chance.normal(size=8) for mean in (0.5, 0.6, 0.65)]
    means = [one.mean(axis=1) for one in scores]
    assert not higher(scores, weights).any() and higher(means).sum() == 3
    assert all((higher(mixed, weights) == higher(means)).all() for mixed in ([means[0], *scores[1:]], [*scores[:2], means[2]]))


def test_one_seed_says_nothing_of_others() -> None:
    alone = np.array([[0.9, 0.8]])
    for found in (crossed_difference(alone, B, HALVES), crossed_mean(alone, HALVES), crossed_mean(np.array([0.85]))):
        assert math.isinf(found.variance) and (found.p_above(), found.p_below()) == (1, 1)
        assert found.interval() == Interval(found.value, found.value, found.value, 0.0)
    assert not higher([alone, alone - 9, B - 99], HALVES).any()
    assert higher([]).shape == (0, 0) and not higher([A], HALVES).any()


def test_runs_that_are_all_alike_differ_surely_or_not_at_all() -> None:
    same = np.full((3, 2), 0.5)
    found = crossed_difference(same, same - 0.25, HALVES)
    assert (found.variance, found.p_above(), found.p_below()) == (0, 0, 1)
    assert (crossed_difference(same, same, HALVES).p_above(), crossed_difference(same, same, HALVES).p_below()) == (1, 1)


def test_a_mechanism_whose_seeds_are_equal_by_chance_is_not_sure_of_its_rank() -> None:
    usual = [np.array([0.80, 0.84, 0.88]) + shift for shift in (0.0, 0.01, 0.02)]
    lucky = np.array([0.85, 0.85, 0.85])
    assert crossed_difference(lucky, lucky - 0.005).p_above() < 0.01
    assert not higher([lucky, lucky - 0.005, *usual]).any()


@pytest.mark.parametrize(
    ("scores", "weights", "message"),
    [
        (A, None, "need the weights"),
        (A, np.array([0.2, 0.3, 0.5]), "there are 3 weights"),
        (A, np.array([1.0, 0.0]), "above 0 and add up to 1"),
        (A, np.array([0.7, 0.7]), "above 0 and add up to 1"),
        (np.array([[0.5, math.nan]]), HALVES, "all finite"),
        (np.zeros((0, 2)), HALVES, "one seed at least"),
    ],
)
def test_scores_that_do_not_fit_are_refused(scores: Floats, weights: Floats | None, message: str) -> None:
    for ask in (lambda: crossed_mean(scores, weights), lambda: crossed_difference(A, scores, weights), lambda: higher([scores], weights)):
        with pytest.raises(ValueError, match=message):
            ask()


def test_a_large_table_takes_no_time() -> None:
    """50 mechanisms, 8 seeds, 64 blocks: 2 ms where a machine does nothing else. A leaderboard has hundreds of tables."""
    scores = list(np.random.default_rng(0).normal(0.8, 0.1, (50, 8, 64)))
    took = []
    for _ in range(5):
        start = time.perf_counter()
        higher(scores, np.full(64, 1 / 64))
        took.append(time.perf_counter() - start)
    assert min(took) < 0.1
