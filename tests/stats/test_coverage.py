"""Intervals cover, and tests call equal mechanisms different, at their nominal rates: by simulation, with fixed seeds.

A simulation of n trials sees a rate p with a standard error of sqrt(p (1 - p) / n). Coverages are held to their bounds give or take two of
it, or three where there are many of them; false alarms, of which there are many kinds, to their nominal rate and three of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from attnbench.stats import Interval, cheaper, mean_interval, median_interval, median_ratio, scoring_higher

Floats = NDArray[np.float64]
POINTS = 0.02
TRUTH = 1.3  # median of all samples drawn here
BETWEEN_PROCESSES = 0.016  # standard deviation of a log ratio to softmax from one process to the next, as measured
FALSE_COST, FALSE_SCORE = 0.01, 0.05  # nominal rates


def normal(chance: np.random.Generator, trials: int, size: int) -> Floats:
    return TRUTH * (1 + 0.05 * chance.standard_normal((trials, size)))


def lognormal(chance: np.random.Generator, trials: int, size: int) -> Floats:
    return TRUTH * np.exp(0.3 * chance.standard_normal((trials, size)))


def bimodal(chance: np.random.Generator, trials: int, size: int) -> Floats:
    """Three in ten calls are slower by two fifths."""
    is_slow = chance.random((trials, size)) < 0.3
    drawn = np.where(is_slow, 1.4, 1.0) + 0.03 * chance.standard_normal((trials, size))
    return TRUTH * drawn / 1.01698  # the 5/7 quantile of the faster mode: 1 + 0.03 * 0.56595


def drift(chance: np.random.Generator, trials: int, calls: int) -> Floats:
    """Log speed of a machine at every call: a random walk of about 30 %, and a wave of 20 % either way with a random period and phase."""
    walk = np.cumsum(0.3 / math.sqrt(calls) * chance.standard_normal((trials, calls)), axis=1)
    periods, phases = chance.uniform(calls / 4, 2 * calls, (trials, 1)), chance.uniform(0, 2 * np.pi, (trials, 1))
    wave: Floats = 0.2 * np.sin(2 * np.pi * np.arange(calls) / periods + phases)
    return walk + wave


def noise(chance: np.random.Generator, trials: int, size: int) -> Floats:
    return 0.03 * chance.standard_normal((trials, size))


def drifting(chance: np.random.Generator, trials: int, size: int) -> Floats:
    """Ratios of neighbours in time, subject and anchor taking turns in random order."""
    speed = drift(chance, trials, 2 * size).reshape(trials, size, 2)
    first = chance.integers(0, 2, (trials, size, 1))
    subject, anchor = (np.take_along_axis(speed, place, axis=2)[..., 0] for place in (first, 1 - first))
    ratios: Floats = TRUTH * np.exp(subject + noise(chance, trials, size) - anchor - noise(chance, trials, size))
    return ratios


Draw = Callable[[np.random.Generator, int, int], Floats]
STEADY = [normal, lognormal, bimodal]


def coverage(intervals: Iterable[Interval], truth: float) -> tuple[float, float]:
    """The share that holds the truth, and twice its standard error."""
    held = [interval.low <= truth <= interval.high for interval in intervals]
    share = sum(held) / len(held)
    return share, 2 * math.sqrt(max(share * (1 - share), 1e-4) / len(held))


@pytest.mark.parametrize("confidence", [0.99, 0.95])
@pytest.mark.parametrize("size", [20, 25, 64])
def test_a_median_interval_promises_its_level_within_two_points(size: int, confidence: float) -> None:
    assert confidence <= median_interval([1.0] * size, confidence).confidence <= confidence + POINTS


@pytest.mark.parametrize("confidence", [0.99, 0.95])
@pytest.mark.parametrize("size", [8, 20, 25, 41, 64])
@pytest.mark.parametrize("draw", [*STEADY, drifting])
def test_a_median_interval_covers_as_it_promises(draw: Draw, size: int, confidence: float) -> None:
    # It may promise more than was asked for, as order statistics are discrete: at 95 %, 8 samples give 99.2 % and 41 give 97.2 %.
    found = [median_interval(row, confidence) for row in draw(np.random.default_rng(size), 8000, size).tolist()]
    share, error = coverage(found, TRUTH)
    promised = found[0].confidence
    assert abs(share - promised) <= 3 * math.sqrt(promised * (1 - promised) / 8000)
    if size in (20, 25, 64):
        assert abs(share - confidence) <= POINTS + error


def test_without_turns_a_drifting_machine_deceives_the_interval() -> None:
    chance = np.random.default_rng(0)
    speed = drift(chance, 300, 50) + noise(chance, 300, 50)
    found = (median_ratio(TRUTH * np.exp(row[:25]), np.exp(row[25:])) for row in speed)
    assert coverage(found, TRUTH)[0] < 0.5


@pytest.mark.parametrize("size", [3, 5])
def test_few_seeds_mean_interval_covers(size: int) -> None:
    drawn = np.random.default_rng(size).normal(0.9, 0.02, (4000, size))
    share, error = coverage((mean_interval(row) for row in drawn.tolist()), 0.9)
    assert abs(share - 0.95) <= error + 0.002


@pytest.mark.parametrize("size", [12, 30])
@pytest.mark.parametrize("kind", ["normal", "lognormal", "bimodal"])
def test_mean_interval_covers(kind: str, size: int) -> None:
    chance, shape = np.random.default_rng(size), (1500, size)
    drawn, truth = {
        "normal": lambda: (chance.normal(0.9, 0.02, shape), 0.9),
        "lognormal": lambda: (chance.lognormal(0, 0.3, shape), math.exp(0.3**2 / 2)),
        "bimodal": lambda: (np.where(chance.random(shape) < 0.5, 0.3, 0.9) + chance.normal(0, 0.02, shape), 0.6),
    }[kind]()
    share, error = coverage((mean_interval(row, resamples=2000) for row in drawn.tolist()), truth)
    assert abs(share - 0.95) <= POINTS + error


@pytest.mark.parametrize("confidence", [0.99, 0.95])
@pytest.mark.parametrize(("above", "below"), [(20, 20), (20, 41), (25, 25), (64, 64)])
@pytest.mark.parametrize("draw", STEADY)
def test_median_ratio_covers(draw: Draw, above: int, below: int, confidence: float) -> None:
    chance, trials = np.random.default_rng(above + below), 1500
    pairs = zip(draw(chance, trials, above), draw(chance, trials, below), strict=True)
    share, error = coverage((median_ratio(mine, 2 * theirs, confidence) for mine, theirs in pairs), 0.5)
    assert abs(share - confidence) <= POINTS + error


def test_median_ratio_covers_where_one_hardly_spreads() -> None:
    chance, trials = np.random.default_rng(0), 2000
    for spread in (0.4, 0.01):
        pairs = zip(lognormal(chance, trials, 20), lognormal(chance, trials, 20), strict=True)
        found = (median_ratio(mine / TRUTH, (theirs / TRUTH) ** spread, 0.95) for mine, theirs in pairs)
        share, error = coverage(found, 1.0)
        assert abs(share - 0.95) <= POINTS + error


@pytest.mark.parametrize("size", [5, 8])
@pytest.mark.parametrize("draw", STEADY)
def test_median_ratio_of_few_samples_covers_at_least(draw: Draw, size: int) -> None:
    # One-sided: 8 samples have no narrower interval than one of 99.2 % between their order statistics, and 5 have none at all.
    chance = np.random.default_rng(size)
    pairs = zip(draw(chance, 1500, size), draw(chance, 1500, size), strict=True)
    share, error = coverage((median_ratio(mine, theirs) for mine, theirs in pairs), 1.0)
    assert share + error >= 0.99


def three_errors(rate: float, trials: int) -> float:
    return rate + 3 * math.sqrt(rate * (1 - rate) / trials)


GROUPS = pytest.mark.parametrize(("group", "trials"), [(2, 800), (6, 400), (23, 150)])


@GROUPS
@pytest.mark.parametrize("size", [3, 5, 8, 10, 25, 64])
@pytest.mark.parametrize("draw", STEADY)
def test_equal_costs_are_seldom_called_different(draw: Draw, size: int, group: int, trials: int) -> None:
    # Three samples against three, each in one of two modes, no test can tell from a difference: 2 p^3 (1 - p)^3 of such pairs, 2 % here.
    nominal = FALSE_COST + (2 * (0.3 * 0.7) ** 3 if (draw, size, group) == (bimodal, 3, 2) else 0)
    drawn = draw(np.random.default_rng(group + size), group * trials, size).reshape(trials, group, size)
    processes = np.exp(BETWEEN_PROCESSES * np.random.default_rng(1).standard_normal((trials, group, 1)))
    assert np.mean([cheaper(samples, margin=1.0).any() for samples in drawn]) <= three_errors(nominal, trials)
    assert np.mean([cheaper(samples).any() for samples in drawn * processes]) <= three_errors(nominal, trials)


@GROUPS
def test_processes_alone_are_seldom_called_different(group: int, trials: int) -> None:
    # Samples with hardly any noise: then only the margin's second meaning helps.
    chance = np.random.default_rng(3)
    logs = BETWEEN_PROCESSES * chance.standard_normal((trials, group, 1)) + 0.005 * chance.standard_normal((trials, group, 25))
    assert np.mean([cheaper(samples).any() for samples in np.exp(logs)]) <= three_errors(FALSE_COST, trials)


@GROUPS
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("draw", STEADY)
def test_equal_scores_are_seldom_called_different(draw: Draw, seeds: int, group: int, trials: int) -> None:
    scores = 0.9 - 0.1 * draw(np.random.default_rng(group + seeds), group * trials, seeds).reshape(trials, group, seeds)
    found = [scoring_higher([dict(enumerate(mine)) for mine in scored]).any() for scored in scores.tolist()]
    assert np.mean(found) <= three_errors(FALSE_SCORE, trials)


@pytest.mark.parametrize("group", [2, 6, 23])
@pytest.mark.parametrize("size", [8, 20, 64])
def test_a_difference_of_three_tenths_is_found_nearly_always(size: int, group: int) -> None:
    logs = 0.05 * np.random.default_rng(size).standard_normal((100, group, size))
    logs[:, 0] -= math.log(1.3)
    found = np.array([cheaper(samples) for samples in np.exp(logs)])
    assert found[:, 0, 1:].mean() >= 0.9
    assert found[:, 1:].mean() <= FALSE_COST


def test_three_samples_tell_twice_the_cost_and_a_stall_hides_nothing() -> None:
    chance = np.random.default_rng(4)
    few, many = np.exp(0.05 * chance.standard_normal((200, 2, 3))), np.exp(0.05 * chance.standard_normal((200, 2, 20)))
    many[:, 0, 7] *= 30
    assert np.mean([cheaper([mine, 2 * theirs])[0, 1] for mine, theirs in few]) >= 0.95
    assert np.mean([cheaper([mine, 1.3 * theirs])[0, 1] for mine, theirs in many]) >= 0.95


@pytest.mark.parametrize("group", [2, 6])
def test_five_seeds_tell_a_tenth_of_accuracy(group: int) -> None:
    scores = np.random.default_rng(5).normal(0.8, 0.02, (200, group, 5))
    scores[:, 0] += 0.1
    found = [scoring_higher([dict(enumerate(mine)) for mine in scored])[0, 1:].mean() for scored in scores.tolist()]
    assert np.mean(found) >= 0.9
