"""Exponents, crossovers and budgets: planted values are recovered, exactly without noise, within the intervals with it."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from attnbench.stats import BETWEEN, Crossover, Interval, crossover, exponent, longest_within

SIZES = [256, 512, 1024, 2048, 4096, 8192]
LOGS = np.log(SIZES)
Floats = NDArray[np.float64]


def ratios(planted: float, slope: float, noise: Floats) -> Floats:
    """[size, sample]: of costs to a baseline's, falling as size^-slope through 1 at the planted size."""
    return np.exp(slope * (math.log(planted) - LOGS)[:, None] + noise)


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


def test_exponent_and_crossover_do_not_mind_the_order_of_sizes() -> None:
    chance, order = np.random.default_rng(1), [3, 0, 5, 1, 4, 2]
    samples = ratios(1500, 0.5, 0.1 * chance.standard_normal((6, 9)))
    shuffled = [SIZES[i] for i in order]
    straight, mixed = exponent(SIZES, samples[:, 0]), exponent(shuffled, samples[order, 0])
    assert [mixed.value, mixed.low, mixed.high] == pytest.approx([straight.value, straight.low, straight.high])
    assert crossover(shuffled, samples[order]) == crossover(SIZES, samples)
    assert crossover(shuffled, samples[order], 1 / samples[order]) == crossover(SIZES, samples, 1 / samples)


@given(st.floats(300, 8000), st.floats(0.1, 2), st.integers(1, 9))
def test_crossover_without_noise_is_exact(planted: float, slope: float, count: int) -> None:
    samples = ratios(planted, slope, np.zeros((6, count)))
    found = crossover(SIZES, samples)
    assert found == Crossover("crosses", *(pytest.approx(planted, rel=1e-9),) * 3, sizes=(pytest.approx(256), pytest.approx(8192)))
    square = np.array(SIZES, dtype=float)[:, None] ** 2
    two_sided = crossover(SIZES, samples * square, np.repeat(square, count, axis=1))
    assert [two_sided.value, two_sided.low, two_sided.high] == pytest.approx([planted] * 3, rel=1e-9)


def test_crossover_is_where_it_falls_below_for_good() -> None:
    # Below, above, on a par, below: what counts is the last fall, and a par is not below.
    found = crossover([1.0, 2.0, 4.0, 8.0], [[0.5], [2.0], [1.0], [0.5]])
    assert (found.found, found.value) == ("crosses", pytest.approx(4.0))
    assert crossover([1.0, 2.0, 4.0], [[2.0], [0.5], [1.0]]).found == "never"


@pytest.mark.parametrize(("planted", "answer", "bound"), [(60.0, "always", -math.inf), (40000.0, "never", math.inf)])
@pytest.mark.parametrize("between", [0.0, BETWEEN])
def test_there_is_no_crossover_out_of_range(planted: float, answer: str, bound: float, between: float) -> None:
    chance = np.random.default_rng(2)
    for _ in range(40):
        found = crossover(SIZES, ratios(planted, 0.5, 0.1 * chance.standard_normal((6, 8))), between=between)
        assert (found.found, found.value, found.low, found.high) == (answer, bound, bound, bound)


def test_equal_curves_are_undecided() -> None:
    chance = np.random.default_rng(3)
    found = Counter(crossover(SIZES, np.exp(0.1 * chance.standard_normal((6, 20)))).found for _ in range(100))
    assert found["undecided"] >= 90


def test_what_lies_near_the_end_is_undecided_or_found() -> None:
    chance = np.random.default_rng(4)
    found = Counter(crossover(SIZES, ratios(8000, 0.5, 0.1 * chance.standard_normal((6, 20)))).found for _ in range(200))
    assert found["undecided"] >= 100
    assert found["always"] == 0
    assert found["never"] <= 0.05 * 200


@pytest.mark.parametrize(
    ("planted", "slope", "noise", "count", "processes"),
    [
        (1500, 0.5, 0.1, 3, 0.0),
        (1500, 0.5, 0.1, 8, 0.0),
        (1500, 0.5, 0.1, 20, 0.0),
        (1024, 0.5, 0.2, 20, 0.0),
        (3000, 1.0, 0.03, 20, BETWEEN),
    ],
)
def test_crossover_covers_what_was_planted(planted: float, slope: float, noise: float, count: int, processes: float) -> None:
    chance, covered, missing = np.random.default_rng(5), [], 0
    for _ in range(400):
        drawn = ratios(planted, slope, noise * chance.standard_normal((6, count)) + processes * chance.standard_normal((6, 1)))
        found = crossover(SIZES, drawn, between=processes)
        covered.append(found.low <= planted <= found.high)
        missing += found.found in ("always", "never")
    assert np.mean(covered) >= 0.93
    assert missing == 0


def test_without_processes_their_noise_is_underestimated() -> None:
    chance, covered = np.random.default_rng(6), []
    for _ in range(150):
        drawn = ratios(1500, 1.0, 0.02 * chance.standard_normal((6, 30)) + BETWEEN * chance.standard_normal((6, 1)))
        with_them, without = crossover(SIZES, drawn, between=BETWEEN), crossover(SIZES, drawn)
        assert with_them.low < without.low < without.high < with_them.high
        covered.append((with_them.low <= 1500 <= with_them.high, without.low <= 1500 <= without.high))
    assert np.mean(covered, axis=0)[0] >= 0.93
    assert np.mean(covered, axis=0)[1] <= 0.6


def test_crossover_of_two_noisy_sides_covers() -> None:
    chance, covered = np.random.default_rng(7), []
    for _ in range(300):
        challenger = ratios(1500, 0.5, 0.1 * chance.exponential(size=(6, 20)) - 0.1 * math.log(2))
        baseline = np.exp(0.1 * chance.exponential(size=(6, 25)) - 0.1 * math.log(2))
        square = np.array(SIZES, dtype=float)[:, None] ** 2
        found = crossover(SIZES, challenger * square, baseline * square)
        covered.append(found.low <= 1500 <= found.high and found.found == "crosses")
    assert np.mean(covered) >= 0.93


@pytest.mark.parametrize("sizes", [[4.0], [4.0, 4.0], [2.0, 4.0, 4.0], []])
def test_crossover_refuses(sizes: list[float]) -> None:
    with pytest.raises(ValueError, match="at least two sizes, each once"):
        crossover(sizes, [[1.0, 2.0]] * len(sizes))


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
