"""The budget of a task is the smallest that a doubling hardly improves, of those that know more than nothing."""

from __future__ import annotations

import pytest

from attnbench.stats.budget import chosen_budget, next_budget

RULE = {"margin": 0.01, "nothing": 0.1, "more_is_better": True}


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
    assert chosen_budget(mirrored, margin=0.02, nothing=3.8, more_is_better=False) == chosen


def test_budgets_are_doubled_until_one_is_chosen_or_none_is_left() -> None:
    assert next_budget({}, 4, 64, **RULE) == 4
    assert next_budget({4: 0.5}, 4, 64, **RULE) == 8
    assert next_budget({4: 0.5, 8: 0.505}, 4, 64, **RULE) is None
    assert next_budget({4: 0.1, 8: 0.1, 16: 0.1}, 4, 64, **RULE) == 32
    assert next_budget({4: 0.1, 8: 0.1, 16: 0.1, 32: 0.1, 64: 0.1}, 4, 64, **RULE) is None
