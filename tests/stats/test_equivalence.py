"""Non-inferiority over families of tasks: by hand, and by simulation with fixed seeds. For its power see test_power.

A simulation of n trials sees a rate p with a standard error of sqrt(p (1 - p) / n). False findings are held to their nominal rate and three
of it.
"""

from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest

from attnbench.stats import Difference, Finding, crossed_difference, family_difference, non_inferior

TRIALS, LEVEL = 2000, 0.05


def error(rate: float, trials: int = TRIALS) -> float:
    return math.sqrt(rate * (1 - rate) / trials)


def test_a_family_by_hand() -> None:
    """In margins: 1 with the variance 0.25 and 4 degrees of freedom, and 2 with 4 and 10; of the mean 1.0625."""
    found = family_difference([Difference(0.02, 0.0001, 4.0), Difference(2.0, 4.0, 10.0)], [0.02, 1.0])
    assert astuple(found) == pytest.approx((1.5, 1.0625, 1.0625**2 / (0.0625**2 / 4 + 1**2 / 10)))
    alone = Difference(0.5, 0.3, 6.0)
    assert astuple(family_difference([alone], [1.0])) == pytest.approx(astuple(alone))
    assert non_inferior(family_difference([alone, Difference(9.0, math.inf, 1.0)], [1.0, 1.0])) == "undecided"


@pytest.mark.parametrize("margins", [[], [1.0, 2.0], [0.0]])
def test_a_family_needs_a_margin_of_each_task(margins: list[float]) -> None:
    with pytest.raises(ValueError, match="a margin above 0 for each task"):
        family_difference([Difference(0.5, 0.3, 6.0)][: max(1, len(margins) - 1)], margins)


@pytest.mark.parametrize(("value", "expected"), [(-0.3, "non-inferior"), (-0.7, "undecided"), (-1.3, "undecided"), (-1.7, "inferior")])
def test_non_inferior_by_hand(value: float, expected: str) -> None:
    """t of five degrees of freedom at 0.05 is 2.015; times 0.3 it is 0.60."""
    assert non_inferior(Difference(value, 0.09, 5.0)) == expected
    assert non_inferior(Difference(2 * value, 0.36, 5.0), margin=2.0) == expected


def findings(truth: float, tasks: int, seeds: int, trials: int) -> list[Finding]:
    """What is found of families whose true difference is given, in margins, and the same in all tasks. Tasks vary unequally, and so do the
    two mechanisms: by 0.4 and 1.06 margins, of a variance of 0.64 on average."""
    chance = np.random.default_rng([tasks, seeds])
    margins = np.resize([1.0, 50.0, 15.0], tasks)  # beside which the least spread is nothing
    low, high = 0.4, math.sqrt(2 * 0.64 - 0.4**2)
    found: list[Finding] = []
    for _ in range(trials):
        differences = []
        for task, margin in enumerate(margins.tolist()):
            sds = (low, high) if task % 2 else (high, low)
            mine, theirs = (margin * sd * chance.standard_normal(seeds) for sd in sds)
            differences.append(crossed_difference(margin * truth + mine, theirs))
        found.append(non_inferior(family_difference(differences, margins.tolist()), level=LEVEL))
    return found


@pytest.mark.parametrize("seeds", [5, 8])
@pytest.mark.parametrize("tasks", [1, 3, 6])
def test_what_is_worse_by_the_margin_is_seldom_found_non_inferior(tasks: int, seeds: int) -> None:
    found = findings(-1.0, tasks, seeds, TRIALS // 2)
    print(tasks, seeds, found.count("non-inferior") / len(found), found.count("inferior") / len(found))
    assert found.count("non-inferior") / len(found) <= LEVEL + 3 * error(LEVEL, len(found))
    assert found.count("inferior") / len(found) <= LEVEL + 3 * error(LEVEL, len(found))
