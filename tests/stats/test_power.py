"""The power of rules: against textbook values, and by simulation with fixed seeds.

A simulation of n trials sees a rate p with a standard error of sqrt(p (1 - p) / n). Powers are held to five points and two of it.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from attnbench.stats import (  # fmt: skip
    Design,
    Difference,
    crossed_difference,
    distance_of_agreement,
    exponent,
    family_difference,
    least_distance,
    least_truth,
    power,
    power_of_exponent,
    surely_above,
    surely_close,
)

Floats = NDArray[np.float64]
TRIALS, LEVEL = 800, 0.05
WEIGHTS = np.random.default_rng(0).dirichlet(np.full(64, 3.0))


def near(share: float, stated: float, trials: int = TRIALS) -> bool:
    print(share, stated)
    return abs(share - stated) <= 0.05 + 2 * math.sqrt(stated * (1 - stated) / trials)


def runs(chance: np.random.Generator, mean: float, sd: float, seeds: int, items: float) -> Floats:
    """Scores of one mechanism: [seeds], or [seeds, blocks] where items make a part of it, as a standard deviation of the mean."""
    by_seed = mean + sd * chance.standard_normal(seeds)
    return by_seed[:, None] + items * WEIGHTS**-0.5 * chance.standard_normal(len(WEIGHTS)) if items else by_seed


def difference(chance: np.random.Generator, design: Design, truth: float, ratio: float = 1.0) -> Difference:
    """One that is found of two mechanisms. ratio: of the variances between their seeds, whose mean is as designed."""
    found, items = [], design.items / math.sqrt(1 + design.share**2)
    one, other = (design.sd * math.sqrt(2 * part / (1 + ratio)) for part in (1.0, ratio))
    for _ in range(design.tasks):
        mine, theirs = runs(chance, truth, one, design.seeds, items), runs(chance, 0.0, other, design.seeds, items)
        found.append(crossed_difference(mine, design.share * theirs, WEIGHTS if items else None))
    return family_difference(found, [1.0] * design.tasks)


def test_powers_are_those_of_the_noncentral_t() -> None:
    """Textbook values: 17 a group tell one standard deviation with a power of 0.80, 64 half of one. G*Power gives 0.807 and 0.801."""
    assert power(surely_above(0.0, 0.025), 1.0, Design(17, 1.0)) == pytest.approx(0.807, abs=5e-4)
    assert power(surely_above(0.0, 0.025), 0.5, Design(64, 1.0)) == pytest.approx(0.801, abs=5e-4)
    assert power(surely_above(-1.0), -1.0, Design(5, 1.0)) == pytest.approx(LEVEL, abs=1e-4)
    of_four = scipy_stats.nct.sf(scipy_stats.t.isf(LEVEL, 32), 32, 0.8 / math.sqrt(2 / 5 / 4))
    assert power(surely_above(-1.0), -0.2, Design(5, 1.0, tasks=4)) == pytest.approx(of_four, abs=1e-4)
    large = scipy_stats.norm.sf(scipy_stats.norm.isf(LEVEL) - 2.0)
    assert power(surely_above(0.0), 2.0, Design(5, 0.0, items=1.0)) == pytest.approx(large, abs=1e-4)  # of items nothing is estimated


def test_errors_by_hand() -> None:
    """Of 0.25 / 8 twice, and 0.25 of items; Welch's 14 degrees of freedom of the first part, infinitely many of the second."""
    assert Design(8, 0.5, 0.5).error() == pytest.approx((math.sqrt(0.3125), 0.3125**2 / (0.0625**2 / 14)))
    assert Design(8, 0.5, tasks=2).error() == pytest.approx((math.sqrt(0.03125), 28))
    assert Design(8, 1.0, share=0.9).error() == pytest.approx((math.sqrt(1.81 / 8), 7 * 1.81**2 / (1 + 0.81**2)))


@pytest.mark.parametrize(("seeds", "sd"), [(1, 0.5), (8, 0.0)])
def test_a_design_has_seeds_that_spread(seeds: int, sd: float) -> None:
    with pytest.raises(ValueError, match="two seeds or more, and some spread"):
        Design(seeds, sd)


def test_what_is_close_is_not_surely_apart() -> None:
    """With a negligible error the test of equal ones is wrong in 5 % of cases, whether of one side or of both together."""
    assert power(surely_close(1.0, 1), 0.0, Design(8, 1e-3)) == pytest.approx(0.95, abs=1e-3)
    assert power(surely_close(1.0, 2), 0.0, Design(8, 1e-3)) == pytest.approx(0.95, abs=1e-3)
    assert power(surely_close(1.0, 2), 0.0, Design(8, 5.0)) == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("items", [0.0, 0.5])
def test_the_smallest_effect_has_its_power(items: float) -> None:
    for wanted in (0.5, 0.8, 0.95):
        design = Design(8, 0.5, items)
        assert power(surely_above(1.0), least_truth(surely_above(1.0), design, wanted), design) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("ratio", [1.0, 3.0])
@pytest.mark.parametrize(
    "design",
    [Design(5, 1.0), Design(8, 1.0), Design(5, 1.0, 0.7), Design(8, 1.0, 1.0), Design(8, 0.5, 0.5, share=0.9)],
    ids=str,
)
def test_differences_are_found_with_the_power_stated(design: Design, ratio: float) -> None:
    chance = np.random.default_rng([design.seeds, design.tasks, round(ratio)])
    truth = least_truth(surely_above(0.0), design)
    found = [difference(chance, design, truth, ratio).p_above() < LEVEL for _ in range(TRIALS)]
    assert near(sum(found) / TRIALS, 0.8)


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("design", [Design(8, 0.5), Design(8, 0.5, 0.3), Design(5, 0.8, 0.0, 2)], ids=str)
def test_equal_ones_are_found_close_with_the_power_stated(design: Design, sides: int) -> None:
    chance, found = np.random.default_rng(sides), 0
    for _ in range(TRIALS):
        of = difference(chance, design, 0.0)
        bounds = [of.p_below(1.0), of.p_above(-1.0)][:sides]
        apart = [of.p_above(), of.p_below()][:sides]
        found += max(bounds) < LEVEL and min(apart) >= LEVEL / sides
    assert near(found / TRIALS, power(surely_close(1.0, sides), 0.0, design))


@pytest.mark.parametrize("design", [Design(8, 0.5), Design(8, 0.5, 0.5), Design(8, 1.0, 0.5)], ids=str)
def test_comparisons_with_one_mechanism_are_found_together_with_the_power_stated(design: Design) -> None:
    chance, found = np.random.default_rng(3), 0
    for _ in range(TRIALS):
        first, *others = (runs(chance, 0.0, design.sd, design.seeds, design.items / math.sqrt(2)) for _ in range(4))
        weights = WEIGHTS if design.items else None
        found += all(crossed_difference(other, first, weights).p_above(-1.0) < LEVEL for other in others)
    assert near(found / TRIALS, power(surely_above(-1.0), 0.0, design, together=3))
    assert power(surely_above(-1.0), 0.0, design, together=3) > power(surely_above(-1.0), 0.0, design) ** 3


@pytest.mark.parametrize(("sizes", "is_known"), [((1, 2, 4, 8, 16), True), ((1, 2, 4, 8, 16), False), ((1, 4, 16), False)])
def test_exponents_are_found_with_the_power_stated(sizes: tuple[float, ...], is_known: bool) -> None:
    chance, error = np.random.default_rng(len(sizes)), 0.05
    variances = [error**2] * len(sizes) if is_known else []
    for wanted in (0.3, 0.8):
        far = least_distance(sizes, error, is_known, wanted)
        assert power_of_exponent(far, sizes, error, is_known) == pytest.approx(wanted, abs=1e-6)
        costs = [np.asarray(sizes) ** (1 - far) * np.exp(error * chance.standard_normal(len(sizes))) for _ in range(TRIALS)]
        assert near(sum(exponent(sizes, of.tolist(), variances).high < 1 for of in costs) / TRIALS, wanted)


def test_agreement_by_hand() -> None:
    """One seed: the normal quantile of 0.8; three of two conditions: of the third root of 0.9, for half of the misses is each one's."""
    assert distance_of_agreement(1) == pytest.approx(scipy_stats.norm.ppf(0.8))
    assert distance_of_agreement(3, 2) == pytest.approx(scipy_stats.norm.ppf(0.9 ** (1 / 3)))


def test_more_items_make_all_less_probable() -> None:
    design = Design(8, 0.5)
    for region, truth in ((surely_above(-1.0), 0.0), (surely_close(1.0, 2), 0.0)):
        powers = [power(region, truth, replace(design, items=items)) for items in (0.0, 0.25, 0.5, 1.0)]
        assert powers == sorted(powers, reverse=True) and powers[0] > powers[-1] + 0.5
