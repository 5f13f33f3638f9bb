"""Intervals over seeds and test items cover, and equal mechanisms are seldom told apart: by simulation, with fixed seeds.

A simulation of n trials sees a rate p with a standard error of sqrt(p (1 - p) / n). Coverages are held to 93 to 97 % give or take two of
it, false discoveries to their nominal rate and three of it. `python tests/stats/test_crossed_coverage.py` prints the coverages.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from attnbench.stats import Interval, crossed_difference, crossed_mean, higher, least_variance

Floats = NDArray[np.float64]
TRIALS = 1000
LEVEL = 0.05


@dataclass(frozen=True)
class World:
    """How scores vary, as standard deviations of a mean score: by seed, of each mechanism in turn; by mechanism x item; by seed x item."""

    seed: tuple[float, ...] = (1.0, 1.0)
    item: float = 0.5
    noise: float = 0.5

    def scores(self, chance: np.random.Generator, count: int, seeds: int, weights: Floats) -> list[Floats]:
        """Of mechanisms that are equal on average, [seeds, blocks]. Items vary by 2 for all; a block by one over the root of its share."""
        of_block = weights**-0.5
        items = 2 * of_block * chance.standard_normal(len(weights))
        own = self.item * of_block * chance.standard_normal((count, 1, len(weights)))
        noise = self.noise * of_block * chance.standard_normal((count, seeds, len(weights)))
        by_seed = np.resize(self.seed, count)[:, None, None] * chance.standard_normal((count, seeds, 1))
        return list(items + own + by_seed + noise)


def shares(blocks: int, is_uneven: bool) -> Floats:
    """Weights of blocks; uneven ones differ by a factor of 50 to 340, and the largest holds a seventh to a third of the items."""
    weights: Floats = np.exp((1.2 if is_uneven else 0.0) * np.random.default_rng(blocks).standard_normal(blocks))
    return weights / weights.sum()


WORLDS = {
    "alike": World(),
    "one varies three times": World((1.0, math.sqrt(3))),
    "items matter most": World((0.3, 0.3), 1.0),
    "seeds alone": World(item=0.0, noise=0.0),
}
UNEVEN = pytest.mark.parametrize("is_uneven", [False, True])
SEEDS = pytest.mark.parametrize("seeds", [3, 5, 8])


def error(share: float, trials: int = TRIALS) -> float:
    return math.sqrt(share * (1 - share) / trials)


def coverage(world: World, seeds: int, weights: Floats, trials: int = TRIALS) -> float:
    """The share of intervals of a difference that hold the truth, which is 0."""
    chance = np.random.default_rng([seeds, len(weights)])
    held = 0
    for _ in range(trials):
        mine, theirs = world.scores(chance, 2, seeds, weights)
        interval = crossed_difference(mine, theirs, weights).interval()
        held += interval.low <= 0 <= interval.high
    return held / trials


@UNEVEN
@SEEDS
@pytest.mark.parametrize("name", WORLDS)
def test_the_interval_of_a_difference_covers(name: str, seeds: int, is_uneven: bool) -> None:
    share = coverage(WORLDS[name], seeds, shares(64, is_uneven))
    assert 0.93 - 2 * error(0.93) <= share <= 0.97 + 2 * error(0.97)


@SEEDS
def test_the_interval_of_a_mean_covers_other_items_too(seeds: int) -> None:
    chance, weights, held = np.random.default_rng(seeds), shares(32, True), 0
    for _ in range(TRIALS):
        interval = crossed_mean(World().scores(chance, 1, seeds, weights)[0], weights).interval()
        held += interval.low <= 0 <= interval.high
    assert abs(held / TRIALS - 0.95) <= 0.02 + 2 * error(0.95)


@UNEVEN
def test_the_variance_of_a_difference_is_as_it_is(is_uneven: bool) -> None:
    """On average: of seeds 2 / 5, of items 2, and of noise 2 / 5, which is in all parts and counts once."""
    chance, weights = np.random.default_rng(1), shares(16, is_uneven)
    drawn = (World((1.0,), 1.0, 1.0).scores(chance, 2, 5, weights) for _ in range(TRIALS))
    found = [crossed_difference(mine, theirs, weights).variance for mine, theirs in drawn]
    assert np.mean(found) == pytest.approx(2 / 5 + 2 + 2 / 5, rel=0.05 if is_uneven else 0.03)


@UNEVEN
def test_right_and_wrong_answers_of_whole_groups_cover(is_uneven: bool) -> None:
    """1,500 items of 48 groups, each in one block; a group is easy or hard for all, and for each mechanism, and a run errs on its own."""
    chance = np.random.default_rng(7)
    sizes = np.round(1500 * shares(48, is_uneven)).clip(1).astype(int)
    group = np.repeat(np.arange(48), sizes)
    weights = sizes / sizes.sum()
    held: list[bool] = []
    for _ in range(400):
        ease = chance.normal(1.0, 0.5, 48) + chance.normal(0, 0.3, (2, 48))
        ability = ease[:, None, group] + chance.normal(0, 0.1, (2, 5, 1)) + chance.normal(0, 0.7, len(group))
        is_right = ability + chance.normal(0, 0.7, ability.shape) > 0
        scores = np.add.reduceat(is_right, np.cumsum(sizes) - sizes, axis=2, dtype=float) / sizes
        interval = crossed_difference(scores[0], scores[1], weights).interval()
        held.append(interval.low <= 0 <= interval.high)
    assert abs(np.mean(held) - 0.95) <= 0.02 + 2 * error(0.95, 400)


@SEEDS
@pytest.mark.parametrize(("group", "trials"), [(2, 800), (6, 300), (20, 80)])
@pytest.mark.parametrize("name", ["alike", "one varies three times"])
def test_equal_mechanisms_are_seldom_told_apart(name: str, group: int, trials: int, seeds: int) -> None:
    chance, weights = np.random.default_rng([group, seeds]), shares(64, True)
    found = [higher(WORLDS[name].scores(chance, group, seeds, weights), weights, LEVEL).any() for _ in range(trials)]
    assert np.mean(found) <= LEVEL + 3 * error(LEVEL, trials)


@SEEDS
@pytest.mark.parametrize("name", ["alike", "one varies three times"])
def test_few_of_the_orders_stated_are_false(name: str, seeds: int) -> None:
    """Of twelve mechanisms half are better than the others by 4; which of two of the same half is the better cannot be known."""
    chance, weights, mean = np.random.default_rng(seeds), shares(64, True), 4.0 * (np.arange(12) % 4 > 1)
    is_true = mean[:, None] > mean
    false, power = [], []
    for _ in range(200):
        beats = higher([own + scores for own, scores in zip(mean, WORLDS[name].scores(chance, 12, seeds, weights), strict=True)], weights)
        false.append((beats & ~is_true).sum() / max(1, beats.sum()))
        power.append(beats[is_true].mean())
    assert np.mean(false) <= LEVEL + 3 * error(LEVEL, 200)
    assert np.mean(power) >= {3: 0.1, 5: 0.5, 8: 0.9}[seeds]


@SEEDS
def test_the_least_variance_of_a_table_keeps_the_coverage(seeds: int) -> None:
    """Of pairs of a table of six, half of which vary three times; without it a few seeds that are close by chance would be sure."""
    chance, weights = np.random.default_rng(seeds), shares(64, False)
    held: list[bool] = []
    for _ in range(TRIALS // 3):
        scores = WORLDS["one varies three times"].scores(chance, 6, seeds, weights)
        least = least_variance(scores, weights)
        pairs: list[Interval] = [crossed_difference(a, b, weights, least).interval() for a, b in itertools.pairwise(scores)]
        held += [pair.low <= 0 <= pair.high for pair in pairs]
    assert 0.93 - 2 * error(0.93) <= np.mean(held) <= 0.97 + 2 * error(0.97)


if __name__ == "__main__":
    for case, number, uneven, blocks in itertools.product(WORLDS, (3, 5, 8), (False, True), (8, 64)):
        print(
            case, number, "seeds", blocks, "blocks", "uneven" if uneven else "even", coverage(WORLDS[case], number, shares(blocks, uneven))
        )
