"""Exponents, crossovers and budgets: planted values are recovered, exactly without noise, within the intervals with it."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from attnbench.stats import Crossover, Interval, Location, crossover, exponent, longest_within

SIZES = [256, 512, 1024, 2048, 4096, 8192]
LOGS = np.log(SIZES)
Floats = NDArray[np.float64]


def ratios(planted: float, slope: float, noise: Floats, error: float) -> list[Location]:
    """At each size, a cost over a baseline's, falling as size^-slope through 1 at the planted size, of which the error is known."""
    logs = slope * (math.log(planted) - LOGS) + noise
    return [Location(log, error**2, math.inf, 1) for log in logs.tolist()]


@given(st.floats(0.1, 3.0), st.floats(1e-6, 1e3))
def test_exponent_recovers_a_power_law(power: float, factor: float) -> None:
    found = exponent(SIZES, [factor * n**power for n in SIZES])
    assert (found.value, found.low, found.high) == (pytest.approx(power, abs=1e-9),) * 3
    assert found.low <= found.value <= found.high


def test_exponent_of_two_points_has_no_interval() -> None:
    found = exponent([1.0, 2.0], [1.0, 4.0])
    assert (found.value, found.low, found.high) == (pytest.approx(2.0), -math.inf, math.inf)


@pytest.mark.parametrize(
    ("sizes", "costs", "message"),
    [([4.0, 4.0], [1.0, 2.0], "at least two sizes"), ([1.0, 2.0], [0.0, 2.0], "positive"), ([-1.0, 2.0], [1.0, 2.0], "positive")],
)
def test_exponent_refuses(sizes: list[float], costs: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        exponent(sizes, costs)


@pytest.mark.parametrize("power", [0.0, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("points", [3, 4, 6])
def test_exponent_covers_what_was_planted(points: int, power: float) -> None:
    chance, sizes = np.random.default_rng(points), np.array(SIZES[:points], dtype=float)
    curves = 3e-6 * sizes**power * np.exp(0.1 * chance.standard_normal((1500, points)))
    found = [exponent(sizes, curve) for curve in curves]
    held = np.mean([one.low <= power <= one.high for one in found])
    assert abs(held - 0.95) <= 0.02
    assert np.median([one.value for one in found]) == pytest.approx(power, abs=0.02)


@pytest.mark.parametrize("points", [5, 6])
def test_an_exponent_covers_where_its_costs_are_noisier_than_their_fit(points: int) -> None:
    """The interval is no narrower than the noise of the costs, although five of them may lie on a line by chance."""
    chance, sizes = np.random.default_rng(points), np.array(SIZES[:points], dtype=float)
    curves = 3e-6 * sizes**1.0 * np.exp(0.03 * chance.standard_normal((1500, points)))
    found = [exponent(sizes, curve, [0.03**2] * points) for curve in curves]
    held = np.mean([one.low <= 1.0 <= one.high for one in found])
    assert 0.95 - 0.02 <= held <= 0.99
    x = np.log(sizes) - np.log(sizes).mean()
    assert min(one.high - one.low for one in found) >= 2 * 1.9599 * 0.03 / math.sqrt(float(x @ x))


def test_exponent_and_crossover_do_not_mind_the_order_of_sizes() -> None:
    chance, order = np.random.default_rng(1), [3, 0, 5, 1, 4, 2]
    given_ = ratios(1500, 0.5, 0.1 * chance.standard_normal(6), 0.1)
    costs, shuffled = [math.exp(one.log) for one in given_], [SIZES[i] for i in order]
    straight, mixed = exponent(SIZES, costs, LOGS), exponent(shuffled, [costs[i] for i in order], LOGS[order])
    assert [mixed.value, mixed.low, mixed.high] == pytest.approx([straight.value, straight.low, straight.high])
    assert crossover(shuffled, [given_[i] for i in order]) == crossover(SIZES, given_)


@given(st.floats(300, 8000), st.floats(0.1, 2))
def test_crossover_without_noise_is_exact(planted: float, slope: float) -> None:
    found = crossover(SIZES, ratios(planted, slope, np.zeros(6), 0.0))
    assert found == Crossover("crosses", *(pytest.approx(planted, rel=1e-9),) * 3, sizes=(pytest.approx(256), pytest.approx(8192)))


def exactly(*values: float) -> list[Location]:
    return [Location(math.log(value), 0.0, math.inf, 1) for value in values]


def test_crossover_is_where_it_falls_below_for_good() -> None:
    # Below, above, on a par, below: what counts is the last fall, and a par is not below.
    found = crossover([1.0, 2.0, 4.0, 8.0], exactly(0.5, 2.0, 1.0, 0.5))
    assert (found.found, found.value) == ("crosses", pytest.approx(4.0))
    assert crossover([1.0, 2.0, 4.0], exactly(2.0, 0.5, 1.0)).found == "never"


@pytest.mark.parametrize(("planted", "answer", "bound"), [(60.0, "always", -math.inf), (40000.0, "never", math.inf)])
def test_there_is_no_crossover_out_of_range(planted: float, answer: str, bound: float) -> None:
    chance = np.random.default_rng(2)
    for _ in range(40):
        found = crossover(SIZES, ratios(planted, 0.5, 0.04 * chance.standard_normal(6), 0.04))
        assert (found.found, found.value, found.low, found.high) == (answer, bound, bound, bound)


def test_equal_curves_are_undecided() -> None:
    chance = np.random.default_rng(3)
    drawn = ([Location(x, 0.02**2, math.inf, 1) for x in (0.02 * chance.standard_normal(6)).tolist()] for _ in range(100))
    assert Counter(crossover(SIZES, given_).found for given_ in drawn)["undecided"] >= 90


def test_what_lies_near_the_end_is_undecided_or_found() -> None:
    chance = np.random.default_rng(4)
    found = Counter(crossover(SIZES, ratios(8000, 0.5, 0.03 * chance.standard_normal(6), 0.03)).found for _ in range(200))
    assert found["undecided"] >= 100
    assert found["always"] == 0
    assert found["never"] <= 0.05 * 200


@pytest.mark.parametrize(("planted", "slope", "noise"), [(1500, 0.5, 0.1), (1024, 0.5, 0.05), (3000, 1.0, 0.03)])
def test_crossover_covers_what_was_planted(planted: float, slope: float, noise: float) -> None:
    chance = np.random.default_rng(5)
    found = [crossover(SIZES, ratios(planted, slope, noise * chance.standard_normal(6), noise)) for _ in range(400)]
    assert np.mean([one.low <= planted <= one.high for one in found]) >= 0.93
    assert not {one.found for one in found} & {"always", "never"}


def test_a_crossover_of_which_little_is_known_is_wider() -> None:
    given_ = ratios(1500, 1.0, np.zeros(6), 0.05)
    wide = crossover(SIZES, [Location(one.log, one.variance, 2.0, 1) for one in given_])
    narrow = crossover(SIZES, given_)
    assert wide.low < narrow.low < 1500 < narrow.high < wide.high


@pytest.mark.parametrize("sizes", [[4.0], [4.0, 4.0], [2.0, 4.0, 4.0], []])
def test_crossover_refuses(sizes: list[float]) -> None:
    with pytest.raises(ValueError, match="at least two sizes, each once"):
        crossover(sizes, exactly(*[2.0] * len(sizes)))


def test_longest_within_a_budget() -> None:
    costs = {512: Interval(2, 1, 3, 0.99), 128: Interval(0.5, 0.4, 0.6, 0.99), 2048: Interval(8, 7, 9, 0.99)}
    for budget, longest, exceeded in ((9, 2048, None), (8.5, 512, 2048), (2.5, 128, 512), (3, 512, 2048), (0.5, None, 128)):
        found = longest_within(costs, budget)
        assert (found.longest, found.exceeded) == (longest, exceeded)


def test_what_has_no_number_exceeds_the_budget_and_ends_the_search() -> None:
    cost = Interval(1, 1, 1, 0.99)
    found = longest_within({128: cost, 512: None, 2048: cost}, 2)
    assert (found.longest, found.exceeded) == (128, 512)
    assert (longest_within({}, 2).longest, longest_within({}, 2).exceeded) == (None, None)
