"""Non-inferiority over families of tasks and the power of tests: by hand, and by simulation with fixed seeds.

A simulation of n trials sees a rate p with a standard error of sqrt(p (1 - p) / n). False findings are held to their nominal rate and three
of it, powers to five points and two of it.
"""

from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from attnbench.stats import (  # fmt: skip
    Difference,
    Finding,
    crossed_difference,
    detectable,
    family_difference,
    non_inferior,
    power_non_inferior,
    power_of,
)

Floats = NDArray[np.float64]
TRIALS, LEVEL = 2000, 0.05
WEIGHTS = np.full(32, 1 / 32)


def error(rate: float, trials: int = TRIALS) -> float:
    return math.sqrt(rate * (1 - rate) / trials)


def runs(chance: np.random.Generator, mean: float, sd: float, seeds: int, items: float = 0.0) -> Floats:
    """Scores of one mechanism: [seeds], or [seeds, blocks] where items make a part of it, as a standard deviation of the mean."""
    by_seed = mean + sd * chance.standard_normal(seeds)
    return by_seed[:, None] + items * WEIGHTS**-0.5 * chance.standard_normal(len(WEIGHTS)) if items else by_seed


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


def test_powers_are_those_of_the_noncentral_t() -> None:
    """Textbook values: 17 a group tell one standard deviation with a power of 0.80, 64 half of one. G*Power gives 0.807 and 0.801."""
    assert power_of(1.0, 1.0, 17) == pytest.approx(0.807, abs=5e-4)
    assert power_of(-0.5, 1.0, 64) == pytest.approx(0.801, abs=5e-4)
    assert power_of(0.0, 1.0, 5) == pytest.approx(0.025)  # the right way round alone
    assert power_non_inferior(0.0, 1.0, 1.0, 17, level=0.025) == pytest.approx(power_of(1.0, 1.0, 17))
    assert power_non_inferior(-1.0, 1.0, 1.0, 5) == pytest.approx(LEVEL)
    of_four = scipy_stats.nct.sf(scipy_stats.t.isf(LEVEL, 32), 32, 0.8 / math.sqrt(2 / 5 / 4))
    assert power_non_inferior(-0.2, 1.0, 1.0, 5, tasks=4) == pytest.approx(of_four)
    large = scipy_stats.norm.sf(scipy_stats.norm.isf(0.025) - 2.0)  # of items alone nothing is estimated
    assert power_of(2.0, 0.0, 5, items_variance=1.0) == pytest.approx(large)
    assert power_of(2.0, 1e-3, 5, items_variance=1.0) == pytest.approx(large, abs=1e-4)


@pytest.mark.parametrize("seeds", [2, 3, 5, 8, 200])
@pytest.mark.parametrize("items_variance", [0.0, 1e-4, 0.04])
def test_what_is_detectable_is_decided_with_its_power(seeds: int, items_variance: float) -> None:
    for power in (0.5, 0.8, 0.95):
        least = detectable(0.02, seeds, items_variance, power=power)
        assert power_of(least, 0.02, seeds, items_variance) == pytest.approx(power, abs=1e-6)
        assert detectable(2.0, seeds, 1e4 * items_variance, power=power) == pytest.approx(100 * least)


def test_one_seed_decides_nothing_and_without_spread_all_is_decided() -> None:
    assert (detectable(1.0, 1), power_of(9.0, 1.0, 1), power_non_inferior(9.0, 1.0, 1.0, 1)) == (math.inf, 0.0, 0.0)
    assert (detectable(0.0, 5), power_of(0.1, 0.0, 5), power_of(0.0, 0.0, 5)) == (0.0, 1.0, 0.0)


@pytest.mark.parametrize("ratio", [1.0, 3.0])
@pytest.mark.parametrize("items", [0.0, 0.7])
@pytest.mark.parametrize("seeds", [5, 8])
def test_differences_are_decided_with_the_power_stated(seeds: int, items: float, ratio: float) -> None:
    """ratio: of the variances of the two, whose mean is 1."""
    chance = np.random.default_rng([seeds, round(ratio)])
    sds = math.sqrt(2 / (1 + ratio)), math.sqrt(2 * ratio / (1 + ratio))
    items_variance = 2 * items**2
    effect, decided = detectable(1.0, seeds, items_variance), 0
    for _ in range(TRIALS):
        mine, theirs = runs(chance, effect, sds[0], seeds, items), runs(chance, 0.0, sds[1], seeds, items)
        decided += crossed_difference(mine, theirs, WEIGHTS if items else None).p_above() < LEVEL / 2
    print(seeds, items, ratio, decided / TRIALS)
    assert abs(decided / TRIALS - 0.8) <= 0.05 + 2 * error(0.8)


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
            mine, theirs = runs(chance, margin * truth, margin * sds[0], seeds), runs(chance, 0.0, margin * sds[1], seeds)
            differences.append(crossed_difference(mine, theirs))
        found.append(non_inferior(family_difference(differences, margins.tolist()), level=LEVEL))
    return found


@pytest.mark.parametrize("seeds", [5, 8])
@pytest.mark.parametrize("tasks", [1, 3, 6])
def test_what_is_worse_by_the_margin_is_seldom_found_non_inferior(tasks: int, seeds: int) -> None:
    found = findings(-1.0, tasks, seeds, TRIALS // 2)
    print(tasks, seeds, found.count("non-inferior") / len(found), found.count("inferior") / len(found))
    assert found.count("non-inferior") / len(found) <= LEVEL + 3 * error(LEVEL, len(found))
    assert found.count("inferior") / len(found) <= LEVEL + 3 * error(LEVEL, len(found))


@pytest.mark.parametrize(("tasks", "seeds"), [(1, 5), (1, 8), (3, 5), (6, 8)])
def test_what_is_equal_is_found_non_inferior_with_the_power_stated(tasks: int, seeds: int) -> None:
    found = findings(0.0, tasks, seeds, TRIALS // 4)
    share, stated = found.count("non-inferior") / len(found), power_non_inferior(0.0, 1.0, 0.8, seeds, tasks=tasks)
    print(tasks, seeds, share, stated)
    assert abs(share - stated) <= 0.05 + 2 * error(0.5, len(found)) * 2 * math.sqrt(stated * (1 - stated))
