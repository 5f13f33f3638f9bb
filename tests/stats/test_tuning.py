"""The choice of a learning rate: the rules by hand, and that they end, whatever the losses and in whichever order trials are run."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.stats import best_rate, next_trials

BASE = (1e-3, 3e-3, 1e-2)
LADDER = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
SEEDS, DECIDING = (11, 12), 13
Loss = Callable[[float, int], float]
Tried = dict[float, dict[int, float]]


def steps(loss: Loss, deciding_seed: int | None = DECIDING) -> tuple[list[list[tuple[float, int]]], Tried]:
    """The trials of every round, and all losses in the end."""
    tried: Tried = {}
    rounds = []
    while wanted := next_trials(tried, BASE, LADDER, SEEDS, deciding_seed):
        rounds.append(wanted)
        for rate, seed in wanted:
            assert seed not in tried.setdefault(rate, {})  # at most once
            tried[rate][seed] = loss(rate, seed)
    return rounds, tried


def by_rate(losses: dict[float, float], spread: float = 0.0) -> Loss:
    """Losses by rate; the seeds 11, 12 and 13 are one spread below, one above and at it."""
    return lambda rate, seed: losses[rate] + spread * {11: -1, 12: 1, 13: 0}[seed]


def both(*rates: float) -> list[tuple[float, int]]:
    return [(rate, seed) for rate in rates for seed in SEEDS]


def test_first_all_rates_with_all_seeds() -> None:
    assert next_trials({}, BASE, LADDER, SEEDS) == both(*BASE)
    assert next_trials({3e-3: {12: 1.0}, 1e-2: {}}, BASE, LADDER, SEEDS) == [(1e-3, 11), (1e-3, 12), (3e-3, 11), (1e-2, 11), (1e-2, 12)]


def test_a_best_rate_in_the_middle_is_decided() -> None:
    rounds, tried = steps(by_rate({1e-3: 2.0, 3e-3: 1.0, 1e-2: 3.0}))
    assert rounds == [both(*BASE)] and best_rate(tried) == 3e-3


def test_at_an_edge_it_goes_on_until_the_best_is_within() -> None:
    rounds, tried = steps(by_rate({1e-3: 1.0, 3e-3: 2.0, 1e-2: 3.0, 3e-4: 0.9, 1e-4: 1.5}))
    assert rounds == [both(*BASE), both(3e-4), both(1e-4)] and best_rate(tried) == 3e-4
    rounds, tried = steps(by_rate({1e-3: 3.0, 3e-3: 2.0, 1e-2: 1.0, 3e-2: 0.5}))
    assert rounds == [both(*BASE), both(3e-2)] and best_rate(tried) == 3e-2  # the ladder ends there


def test_a_single_rate_is_both_edges_and_the_ladder_is_tried_below_it_and_above() -> None:
    tried: Tried = {1e-4: {11: 1.0}}
    assert next_trials(tried, [1e-4], LADDER, [11]) == [(3e-4, 11)]  # the ladder begins there
    tried = {3e-4: {11: 1.0}}
    assert next_trials(tried, [3e-4], LADDER, [11]) == [(1e-4, 11)]
    assert next_trials({**tried, 1e-4: {11: 2.0}}, [3e-4], LADDER, [11]) == [(1e-3, 11)]
    assert next_trials({**tried, 1e-4: {11: 2.0}, 1e-3: {11: 2.0}}, [3e-4], LADDER, [11], 13) == []  # one seed has no spread


def test_two_closer_than_their_seeds_spread_are_decided_by_another_seed() -> None:
    """Means 1.00 and 1.05; within each rate the seeds are 0.1 above and below: a pooled standard deviation of 0.14."""
    loss = by_rate({1e-3: 1.05, 3e-3: 1.0, 1e-2: 3.0}, 0.1)
    close = [(1e-3, DECIDING), (3e-3, DECIDING)]
    assert steps(lambda rate, seed: loss(rate, seed))[0] == [both(*BASE), close]
    assert steps(loss, None)[0] == [both(*BASE)]
    assert steps(by_rate({1e-3: 1.15, 3e-3: 1.0, 1e-2: 3.0}, 0.1))[0] == [both(*BASE)]  # 0.15 apart


def test_the_deciding_seed_may_make_an_edge_the_best() -> None:
    loss = by_rate({1e-3: 1.05, 3e-3: 1.0, 1e-2: 3.0, 3e-4: 5.0}, 0.1)
    rounds, tried = steps(lambda rate, seed: 2.0 if (rate, seed) == (3e-3, DECIDING) else loss(rate, seed))
    assert rounds == [both(*BASE), [(1e-3, DECIDING), (3e-3, DECIDING)], both(3e-4)]
    assert best_rate(tried) == 1e-3


def test_the_deciding_seed_may_make_another_pair_the_two_best() -> None:
    loss = by_rate({1e-3: 1.1, 3e-3: 1.0, 1e-2: 1.02}, 0.1)
    rounds, tried = steps(lambda rate, seed: 1.6 if (rate, seed) == (1e-2, DECIDING) else loss(rate, seed))
    assert rounds == [both(*BASE), [(3e-3, DECIDING), (1e-2, DECIDING)], [(1e-3, DECIDING)]]
    assert best_rate(tried) == 3e-3


def test_where_all_diverges_it_goes_down_to_the_end_of_the_ladder() -> None:
    for failed in (math.inf, math.nan):
        rounds, tried = steps(lambda rate, seed, failed=failed: failed)  # type: ignore[misc]
        assert rounds == [both(*BASE), both(3e-4), both(1e-4)] and best_rate(tried) == 1e-4


def test_a_rate_at_which_one_seed_diverged_is_behind_all_finite_ones() -> None:
    assert best_rate({1e-3: {11: 0.1, 12: math.inf}, 3e-3: {11: 9.0, 12: 9.0}, 1e-2: {}}) == 3e-3
    assert best_rate({3e-3: {11: 1.0}, 1e-3: {11: 1.0, 12: 1.0}}) == 1e-3  # of equals the smaller
    assert best_rate({3e-3: {11: 1.0}, 1e-3: {11: -math.inf}}) == 3e-3
    loss = by_rate({1e-3: 2.0, 3e-3: 1.0, 1e-2: 1.0}, 0.1)
    rounds, _ = steps(lambda rate, seed: math.inf if (rate, seed) == (1e-2, 12) else loss(rate, seed))
    assert rounds == [both(*BASE)]  # an infinite loss is close to none


def test_a_trial_that_was_never_asked_for_counts_in_the_end() -> None:
    tried = {1e-3: {11: 2.0, 12: 2.0}, 3e-3: {11: 1.0, 12: 1.0}, 1e-2: {11: 3.0, 12: 3.0}, 3e-4: {11: 0.5}}
    assert next_trials(tried, BASE, LADDER, SEEDS) == [(3e-4, 12)]
    tried[3e-4][12] = 0.5
    assert next_trials(tried, BASE, LADDER, SEEDS) == both(1e-4)


def test_nothing_to_choose_from_is_refused() -> None:
    with pytest.raises(ValueError, match="no rate was tried"):
        best_rate({1e-3: {}})
    for base, seeds in (((), SEEDS), (BASE, ())):
        with pytest.raises(ValueError, match="a rate and a seed"):
            next_trials({}, base, LADDER, seeds)


RANDOM_LOSS = st.floats(0, 3) | st.sampled_from([math.inf, math.nan, 1.0])
TABLES = st.lists(RANDOM_LOSS, min_size=len(LADDER) * 3, max_size=len(LADDER) * 3)


@given(TABLES, st.booleans(), st.randoms(use_true_random=False))
def test_it_ends_alike_in_whichever_order_trials_are_run_and_the_best_is_at_no_edge(
    values: list[float], is_deciding: bool, order: object
) -> None:
    table = dict(zip(((rate, seed) for rate in LADDER for seed in (*SEEDS, DECIDING)), values, strict=True))
    deciding_seed = DECIDING if is_deciding else None
    rounds, tried = steps(lambda rate, seed: table[rate, seed], deciding_seed)
    assert sum(map(len, rounds)) <= len(table)
    best = best_rate(tried)
    assert best in (LADDER[0], LADDER[-1]) or min(tried) < best < max(tried)
    # One trial at a time, any of those wanted, in a mapping of another order: the same trials.
    again: Tried = {}
    while wanted := next_trials(again, BASE[::-1], LADDER[::-1], SEEDS, deciding_seed):
        rate, seed = order.choice(wanted)  # type: ignore[attr-defined]
        again = {rate: {seed: table[rate, seed], **again.get(rate, {})}, **{other: of for other, of in again.items() if other != rate}}
    assert {rate: set(of) for rate, of in again.items()} == {rate: set(of) for rate, of in tried.items()}
    assert best_rate(again) == best


@given(TABLES, st.sets(st.integers(0, len(LADDER) * 3 - 1)), st.booleans())
def test_it_ends_whatever_was_tried_before(values: list[float], held: set[int], is_deciding: bool) -> None:
    table = dict(zip(((rate, seed) for rate in LADDER for seed in (*SEEDS, DECIDING)), values, strict=True))
    tried: Tried = {}
    for rate, seed in np.array(list(table), dtype=object)[sorted(held)]:
        tried.setdefault(rate, {})[seed] = table[rate, seed]
    for _ in range(len(table) + 1):
        wanted = next_trials(tried, BASE, LADDER, SEEDS, DECIDING if is_deciding else None)
        if not wanted:
            break
        assert all(seed not in tried.get(rate, {}) for rate, seed in wanted)
        for rate, seed in wanted:
            tried.setdefault(rate, {})[seed] = table[rate, seed]
    assert not wanted
    best = best_rate(tried)
    assert best in (LADDER[0], LADDER[-1]) or min(tried) < best < max(tried)
