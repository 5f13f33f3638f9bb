"""The budget of a task is the smallest that a doubling hardly improves, of those that know more than nothing."""

from __future__ import annotations

import pytest

from attnbench.stats.budget import chosen_budget, doubling_gains, next_budget

RULE = {"longest": 64, "margin": 0.01, "nothing": 0.1, "more_is_better": True}


@pytest.mark.parametrize(
    ("values", "chosen"),
    [
        ({}, None),
        ({4: 0.8}, None),  # what a doubling gains is not known
        ({4: 0.8, 8: 0.805}, 4),
        ({4: 0.8, 8: 0.7}, 4),
        ({4: 0.8, 8: 0.81, 16: 0.815}, 8),  # a margin is gained, which is not less than it
        ({4: 0.1, 8: 0.1, 16: 0.5, 32: 0.505}, 16),  # a plateau that knows nothing is none
        ({4: 0.119, 8: 0.119}, None),
        ({4: 0.2, 8: 0.4, 16: 0.8}, None),
    ],
)
def test_a_budget_is_chosen_by_hand(values: dict[int, float], chosen: int | None) -> None:
    assert chosen_budget(values, **RULE) == chosen
    mirrored = {budget: 4 - 2 * value for budget, value in values.items()}
    assert chosen_budget(mirrored, longest=64, margin=0.02, nothing=3.8, more_is_better=False) == chosen


def test_an_accuracy_of_which_no_double_can_gain_a_margin_needs_none() -> None:
    assert chosen_budget({4: 0.8, 8: 0.9901}, **RULE) == 8 and chosen_budget({4: 0.8, 8: 0.99}, **RULE) is None
    assert chosen_budget({4: 2.0, 8: 0.995}, 64, margin=0.05, nothing=4.0, more_is_better=False) is None


def test_budgets_are_doubled_until_one_is_chosen_or_none_is_left() -> None:
    rule = {**RULE, "longest": 16}
    assert next_budget({}, 4, **rule) == 4
    assert next_budget({4: 0.5}, 4, **rule) == 8
    assert next_budget({4: 0.5, 8: 0.505}, 4, **rule) is None
    assert next_budget({4: 0.1, 8: 0.1, 16: 0.1}, 4, **rule) == 32
    assert next_budget({4: 0.1, 8: 0.1, 16: 0.1, 32: 0.1}, 4, **rule) is None


def test_the_longest_budget_is_chosen_where_its_double_still_gains_and_no_longer_one_is() -> None:
    rule = {**RULE, "longest": 8}
    gaining = {4: 0.2, 8: 0.4, 16: 0.6}
    assert chosen_budget({4: 0.2, 8: 0.4}, **rule) is None and next_budget({4: 0.2, 8: 0.4}, 4, **rule) == 16
    assert chosen_budget(gaining, **rule) == 8 and next_budget(gaining, 4, **rule) is None
    assert doubling_gains(gaining, 8, 0.01, more_is_better=True) and not doubling_gains(gaining, 8, 0.01, more_is_better=False)
    assert chosen_budget({**gaining, 32: 0.601}, **rule) == 8
    for late in (0.6, 0.995):
        assert chosen_budget({4: 0.1, 8: 0.1, 16: late}, **rule) is None
