"""Ranks with ties, frontiers, profiles and average ranks: cases by hand, and what holds whatever the data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from attnbench.stats import (  # fmt: skip
    average_ranks,
    cheaper,
    cost_p_values,
    exact_cheaper,
    frontier,
    pair_errors,
    paired_p_values,
    performance_profile,
    rank_ranges,
    ties,
)

Bools = NDArray[np.bool_]
NONE = np.zeros((3, 3), dtype=bool)
COSTS = st.lists(st.floats(0.1, 10), min_size=1, max_size=7)
# Of a grid, so that there are ties.
POINTS = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=7)
ORDERS = st.randoms(use_true_random=False)


def beating(size: int, *pairs: tuple[int, int]) -> Bools:
    found = np.zeros((size, size), dtype=bool)
    for i, j in pairs:
        found[i, j] = True
    return found


def shuffled(size: int, order: object) -> list[int]:
    places = list(range(size))
    order.shuffle(places)  # type: ignore[attr-defined]
    return places


def test_what_cannot_be_told_apart_shares_ranks() -> None:
    # a beats c; b neither; all beat d.
    beats = beating(4, (0, 2), (0, 3), (1, 3), (2, 3))
    assert rank_ranges(beats) == [(1, 2), (1, 3), (2, 3), (4, 4)]
    assert ties("abcd", beats) == [("b",), ("a", "c"), ("b",), ()]


def test_one_or_none_has_the_first_rank() -> None:
    assert rank_ranges(beating(1)) == [(1, 1)]
    assert ties(["alone"], beating(1)) == [()]
    assert rank_ranges(beating(0)) == []
    assert ties([], beating(0)) == []
    none = np.zeros(0)
    assert cheaper(np.zeros((0, 0)), none).shape == paired_p_values([]).shape == (0, 0)


@given(COSTS, st.sampled_from([1.0, 1.01, 1.5]), ORDERS)
def test_rank_ranges_are_possible_ranks(costs: list[float], margin: float, order: object) -> None:
    beats = exact_cheaper([[cost] for cost in costs], margin)
    ranges = rank_ranges(beats)
    assert all(1 <= first <= last <= len(costs) for first, last in ranges)
    # The order of the costs themselves contradicts no sure statement, so that its ranks are among those that could be.
    for rank, i in enumerate(np.argsort(costs, kind="stable").tolist(), start=1):
        assert ranges[i][0] <= rank <= ranges[i][1]
    places = shuffled(len(costs), order)
    moved = exact_cheaper([[costs[i]] for i in places], margin)
    assert rank_ranges(moved) == [ranges[i] for i in places]
    named = dict(zip(places, ties(places, moved), strict=True))
    for i, others in enumerate(ties(range(len(costs)), beats)):
        assert set(named[i]) == set(others)
        assert all(i in ties(range(len(costs)), beats)[j] for j in others)
        assert len(others) == ranges[i][1] - ranges[i][0]


@given(st.integers(2, 6), st.integers(0, 99), ORDERS)
def test_cheaper_moves_with_its_input_and_its_units(size: int, seed: int, order: object) -> None:
    chance = np.random.default_rng(seed)
    log, variance, base = chance.normal(0, 0.1, size), chance.gamma(2, 1e-3, size), chance.integers(-1, 2, size)

    def found(at: list[int], unit: float = 1.0) -> Bools:
        given_ = np.array(at)
        error = pair_errors(variance[given_], np.full(size, 9.0), base[given_], np.array([1e-3, 2e-3]), np.array([5.0, 50.0]))
        return cheaper(cost_p_values(log[given_] + math.log(unit), *error), log[given_] + math.log(unit), 1.02)

    beats, places = found(list(range(size))), shuffled(size, order)
    assert (found(places) == beats[np.ix_(places, places)]).all()
    assert (found(list(range(size)), 1024.0) == beats).all()
    assert not (beats & beats.T).any()
    assert not beats[log[:, None] >= log].any()  # the dearer is never the cheaper


def test_exact_cheaper_is_beyond_its_margin() -> None:
    samples = [[100.0, 99.0], [100.5], [102.0, 103.0]]
    assert np.argwhere(exact_cheaper(samples)).tolist() == [[0, 2], [1, 2]]
    assert np.argwhere(exact_cheaper(samples, margin=1.0)).tolist() == [[0, 1], [0, 2], [1, 2]]
    assert not exact_cheaper([[100.0], [101.0]], margin=1.01).any()
    assert not exact_cheaper([[100.0], [99.0, 200.0]]).any()  # all samples have to be


def test_frontier_by_hand() -> None:
    costs, gains = [1.0, 2.0, 3.0, 2.5], [0.5, 0.7, 0.9, 0.6]
    # The last is dearer and worse than the second: surely so, perhaps so, and surely in one respect alone.
    sure = beating(4, (1, 3))
    assert frontier(costs, gains, sure, sure) == ["frontier", "frontier", "frontier", "dominated"]
    assert frontier(costs, gains, beating(4), beating(4)) == ["frontier", "frontier", "frontier", "undecided"]
    assert frontier(costs, gains, beating(4), sure) == ["frontier", "frontier", "frontier", "dominated"]


def test_equal_points_are_both_on_the_frontier() -> None:
    assert frontier([1.0, 1.0, 2.0], [0.5, 0.5, 0.4], NONE, NONE) == ["frontier", "frontier", "undecided"]
    assert frontier([1.0], [0.5], beating(1), beating(1)) == ["frontier"]


@given(POINTS, st.sampled_from([1.0, 1.3]), ORDERS)
def test_frontier_is_never_empty_and_moves_with_its_input(points: list[tuple[int, int]], margin: float, order: object) -> None:
    costs, gains = (np.array(axis, dtype=float) for axis in zip(*points, strict=True))

    def places_of(at: list[int]) -> list[str]:
        return list(frontier(costs[at], gains[at], exact_cheaper(costs[at, None], margin), exact_cheaper(7 - gains[at, None], margin)))

    found = places_of(list(range(len(points))))
    assert "frontier" in found
    assert found[int(np.lexsort((-gains, costs))[0])] == "frontier"
    assert found[int(np.lexsort((costs, -gains))[0])] == "frontier"
    places = shuffled(len(points), order)
    assert places_of(places) == [found[i] for i in places]
    # By the definition, point by point; with a margin of 1 all is sure, and nothing undecided.
    ahead = [
        any(c <= cost and g >= gain and (c, g) != (cost, gain) for c, g in zip(costs, gains, strict=True))
        for cost, gain in zip(costs, gains, strict=True)
    ]
    assert [place != "frontier" for place in found] == ahead
    assert margin > 1 or "undecided" not in found


def test_performance_profile_by_hand() -> None:
    costs = [[1.0, 2.0, math.inf], [4.0, 1.0, 2.0], [math.inf] * 3, [3.0, 3.0, 30.0]]
    profile = performance_profile(costs, [1, 2, 4, 1e9])
    # Ratios to the cheapest: 1, 2, inf; 4, 1, 2; and 1, 1, 10. The block in which all failed does not count.
    assert np.array(profile) == pytest.approx(np.array([[2, 2, 3, 3], [2, 3, 3, 3], [0, 1, 1, 2]]) / 3)


def test_a_profile_of_failures_alone_is_nought() -> None:
    assert performance_profile([[math.inf, math.inf]], [1, 2]) == [[0.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize("costs", [[[1.0, math.nan]], [[0.0, 1.0]], [[-1.0, 1.0]], [1.0, 2.0]])
def test_a_profile_refuses_what_was_not_measured(costs: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="positive cost"):
        performance_profile(costs, [1.0])


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 99), ORDERS)
def test_profiles_rise_and_move_with_their_input(blocks: int, size: int, seed: int, order: object) -> None:
    chance = np.random.default_rng(seed)
    costs = np.where(chance.random((blocks, size)) < 0.2, math.inf, chance.integers(1, 9, (blocks, size)))
    factors = [1.0, 1.5, 3.0, 100.0]
    profile = np.array(performance_profile(costs, factors))
    assert (np.diff(profile, axis=1) >= 0).all()
    counted = np.isfinite(costs).any(axis=1)
    assert not counted.any() or profile[:, 0].sum() >= 1 - 1e-9  # every block has a cheapest
    assert profile[:, -1] == pytest.approx(np.isfinite(costs[counted]).mean(axis=0) if counted.any() else np.zeros(size))
    places = shuffled(size, order)
    assert performance_profile(costs[:, places], factors) == profile[places].tolist()


@given(st.integers(2, 8), st.integers(2, 6), st.integers(0, 99), ORDERS)
def test_average_ranks_move_with_their_input(blocks: int, size: int, seed: int, order: object) -> None:
    scores = np.random.default_rng(seed).integers(0, 5, (blocks, size)) + np.arange(size) / 2
    found, places = average_ranks(scores), shuffled(size, order)
    moved = average_ranks(scores[:, places])
    assert moved.ranks == pytest.approx([found.ranks[i] for i in places])
    assert (moved.beats == found.beats[np.ix_(places, places)]).all()
    assert sum(found.ranks) == pytest.approx(size * (size + 1) / 2)
    assert average_ranks(10 * scores).ranks == pytest.approx(found.ranks)


def test_above_friedmans_level_no_two_are_told_apart() -> None:
    # The second and the last are further apart than the critical difference, but that all are alike has p = 0.051.
    found = average_ranks([[0, 1, 3, 2, 4], [3, 0, 1, 2, 4], [3, 2, 1, 0, 4], [1, 0, 2, 3, 4], [1, 0, 4, 3, 2]])
    assert found.ranks[1] - found.ranks[4] > found.critical_difference
    assert found.friedman_p == pytest.approx(0.051, abs=1e-4)
    assert not found.beats.any()


def test_average_ranks_of_equal_scores_tell_nothing() -> None:
    found = average_ranks([[0.5, 0.5, 0.5]] * 4)
    assert (found.ranks, found.friedman_p, found.beats.any()) == ([2.0, 2.0, 2.0], 1.0, False)


@pytest.mark.parametrize(
    ("scores", "message"), [([[0.5, 0.6]], "two blocks"), ([[0.5], [0.6]], "two competitors"), ([[0.5, math.nan], [0.1, 0.2]], "missing")]
)
def test_average_ranks_refuse(scores: list[list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        average_ranks(scores)
