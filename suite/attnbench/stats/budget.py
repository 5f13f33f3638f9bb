"""The choice of a budget: for how long to train, from runs of doubled budgets."""

from __future__ import annotations

from collections.abc import Mapping


def next_budget(values: Mapping[int, float], first: int, longest: int, margin: float, nothing: float, more_is_better: bool) -> int | None:
    """The budget to be tried next, the double of the longest so far; None once one is chosen, or the double of the longest was tried.

    values: what was reached with each budget, by the rule of `chosen_budget`. first: the one to begin with.
    """
    if not values:
        return first
    if chosen_budget(values, longest, margin, nothing, more_is_better) is not None:
        return None
    following = 2 * max(values)
    return following if following <= 2 * longest else None


def chosen_budget(values: Mapping[int, float], longest: int, margin: float, nothing: float, more_is_better: bool) -> int | None:
    """The smallest budget of which the double gains less than a margin, and that is better than `nothing` by twice the margin at least.

    values: what was reached with each budget. longest: the longest that may be chosen, which is the choice where its double still gains as
    much, see `doubling_gains`. Where more is better nothing is above 1, so that a double need not be tried that can gain no margin. None
    where no budget that was tried is a choice, so that longer ones are to be tried.

    >>> chosen_budget({4: 0.70, 8: 0.80, 16: 0.805}, longest=16, margin=0.01, nothing=0.1, more_is_better=True)
    8
    >>> chosen_budget({4: 0.70, 8: 0.80, 16: 0.85}, longest=8, margin=0.01, nothing=0.1, more_is_better=True)
    8
    >>> chosen_budget({4: 0.995}, longest=8, margin=0.01, nothing=0.1, more_is_better=True)
    4
    """
    sign = 1.0 if more_is_better else -1.0
    for budget, value in sorted(values.items()):
        if budget > longest:
            break
        if sign * (value - nothing) < 2 * margin:
            continue
        if more_is_better and 1.0 - value < margin:
            return budget
        if 2 * budget in values and (budget == longest or not doubling_gains(values, budget, margin, more_is_better)):
            return budget
    return None


def doubling_gains(values: Mapping[int, float], budget: int, margin: float, more_is_better: bool) -> bool:
    """Whether twice a budget is known to gain a margin or more."""
    if 2 * budget not in values:
        return False
    gain = values[2 * budget] - values[budget]
    return (gain if more_is_better else -gain) >= margin
