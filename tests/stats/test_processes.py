"""The model of processes by hand: medians of medians, the spread between processes, intervals and tails."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from attnbench.stats import KNOWN, Location, Spread, between_processes, locations, medians
from attnbench.stats.processes import KNOWN_FREEDOM, KNOWN_SD, Medians, median_variance, satterthwaite

COUNTS = st.lists(st.integers(1, 9), min_size=1, max_size=6)


def exact(*logs: float) -> Medians:
    """Processes whose samples have no noise."""
    return Medians(np.array(logs), np.zeros(len(logs)), np.full(len(logs), 9.0))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 10, 11, 21, 64])
def test_the_variance_of_a_median_is_that_of_normal_samples(count: int) -> None:
    drawn = np.median(np.random.default_rng(count).standard_normal((60_000, count)), axis=1)
    assert median_variance(np.array([count]))[0] == pytest.approx(drawn.var(), rel=0.03)  # five errors of such a variance


@pytest.mark.parametrize("count", [3, 6, 7, 9, 12, 20, 25, 64])
def test_the_noise_of_samples_is_seen_as_it_is(count: int) -> None:
    """On average, whatever part of them is set to the next within."""
    drawn = np.exp(0.1 * np.random.default_rng(count).standard_normal((20_000, count)))
    found = medians(drawn.tolist())
    assert found.error.mean() == pytest.approx(found.log.var(), rel=0.08)


def test_a_stall_among_twenty_samples_changes_little() -> None:
    steady = [1.0 + 0.01 * (i % 5) for i in range(20)]
    stalled = [*steady[:-1], 30.0]
    for which, least in ((medians([steady, stalled]).error, 0.5), (medians([steady[:8], [*steady[:7], 30.0]]).error, 0.3)):
        assert which[1] < which[0] / least


def test_medians_by_hand() -> None:
    found = medians([[1.0, math.e, math.e**2], [math.e**4], [1.0, math.e**3], []])
    assert found.log[:3] == pytest.approx([1, 4, 1.5]) and math.isnan(found.log[3])
    assert found.error == pytest.approx([0.4487 * 1, 0, 0.5 * 4.5, 0])  # the variance of 0, 1, 2 is 1, and of 0, 3 it is 4.5
    assert found.freedom.tolist() == [2, 0, 1, 0]


def test_a_cost_is_the_median_over_processes() -> None:
    found = locations(exact(0.0, 0.02, 0.01, 5.0), np.array([0, 0, 0, 1]), 2, Spread(0.02, math.inf))
    assert found.log.tolist() == [0.01, 5.0] and found.processes.tolist() == [3, 1]
    assert found.variance == pytest.approx([0.4487 * 0.02**2, 0.02**2])
    assert np.isinf(found.freedom).all()


def test_processes_that_differ_by_far_more_than_all_others_count_by_what_they_show() -> None:
    found = locations(exact(0.0, 0.2, 0.4), np.zeros(3, dtype=int), 1, KNOWN)
    assert found.variance[0] == pytest.approx(0.4487 * 0.04) and found.freedom[0] == 2


def test_a_single_sample_says_nothing_of_itself() -> None:
    alone = locations(medians([[2.0]]), np.zeros(1, dtype=int), 1, KNOWN).at(0)
    assert alone is not None and math.isinf(alone.variance) and alone.tails() == (1.0, 1.0)
    interval = alone.interval()
    assert (interval.low, interval.high, interval.confidence) == (interval.value, interval.value, 0.0)
    three = locations(medians([[2.0], [2.1], [2.2]]), np.zeros(3, dtype=int), 1, KNOWN).at(0)
    assert three is not None and math.isfinite(three.variance)


def test_what_several_processes_show_joins_what_is_known() -> None:
    """Two cells of two processes each, 0.06 and 0.02 apart and without noise: squares of 0.0018 and 0.0002, a degree of freedom each."""
    found = between_processes(exact(0.0, 0.06, 1.0, 1.02), np.array([0, 0, 1, 1]))
    assert found.sd == pytest.approx(math.sqrt((KNOWN_FREEDOM * KNOWN_SD**2 + 0.0018 + 0.0002) / (KNOWN_FREEDOM + 2)))
    assert found.freedom == pytest.approx(KNOWN_FREEDOM + 2)
    assert between_processes(exact(0.0, 1.0), np.array([0, 1])) == KNOWN
    assert between_processes(exact(), np.zeros(0, dtype=int)) == KNOWN


def test_a_fault_in_one_cell_does_not_widen_all_others() -> None:
    far = between_processes(exact(0.0, 3.0, *[1.0, 1.02] * 10), np.array([0, 0, *np.repeat(np.arange(1, 11), 2)]))
    assert far.sd < 2 * KNOWN_SD


def test_a_machine_whose_processes_differ_more_is_believed() -> None:
    """By 6 %, in 200 cells: three and a half times what is known beforehand."""
    chance = np.random.default_rng(0)
    found = between_processes(exact(*(0.06 * chance.standard_normal(400)).tolist()), np.repeat(np.arange(200), 2))
    assert found.sd == pytest.approx(0.06, rel=0.15)


def test_the_noise_of_samples_is_not_taken_for_a_spread_of_processes() -> None:
    chance = np.random.default_rng(0)
    samples = np.exp(0.05 * chance.standard_normal((600, 9))).tolist()
    assert between_processes(medians(samples), np.repeat(np.arange(200), 3)).sd < KNOWN_SD / 2


def test_degrees_of_freedom_by_hand() -> None:
    assert satterthwaite((2.0, 4.0), (2.0, 4.0)) == pytest.approx(8)
    assert satterthwaite((2.0, 4.0), (0.0, 9.0)) == pytest.approx(4)
    assert math.isinf(satterthwaite((2.0, math.inf), (1.0, math.inf)))


def test_intervals_and_tails_are_students() -> None:
    cost = Location(math.log(3.0), 0.04, 5.0, 3)
    found, half = cost.interval(), scipy_stats.t.ppf(0.975, 5) * 0.2
    assert np.log([found.value, found.low, found.high]) == pytest.approx([math.log(3), math.log(3) - half, math.log(3) + half])
    assert cost.tails() == pytest.approx((scipy_stats.t.sf(math.log(3) / 0.2, 5), scipy_stats.t.cdf(math.log(3) / 0.2, 5)))
    assert Location(0.1, 0.0, math.inf, 1).tails() == (0.0, 1.0) and Location(0.0, 0.0, math.inf, 1).tails() == (1.0, 1.0)
    assert Location(0.0, 1.0, math.inf, 1).interval().high == pytest.approx(math.exp(1.959964))


def test_a_ratio_adds_the_variances_of_both() -> None:
    found = Location(2.0, 0.03, 6.0, 3).over(Location(0.5, 0.01, math.inf, 1))
    assert found == Location(1.5, 0.04, pytest.approx(0.04**2 / (0.03**2 / 6)), 1)


@given(COUNTS, st.integers(0, 99))
def test_many_cells_at_once_are_as_each_by_itself_whatever_the_order(counts: list[int], seed: int) -> None:
    chance = np.random.default_rng(seed)
    cells = np.repeat(np.arange(len(counts)), counts)
    given_, spread = medians([chance.lognormal(0, 0.1, 1 + seed % 9).tolist() for _ in cells]), Spread(0.02, 40.0)
    order = chance.permutation(len(cells))
    whole, shuffled = (locations(given_.of(to), cells[to], len(counts), spread) for to in (np.arange(len(cells)), order))
    bounds = whole.intervals()
    for cell in range(len(counts)):
        own = np.flatnonzero(cells == cell)
        alone = locations(given_.of(own), np.zeros(len(own), dtype=int), 1, spread).at(0)
        assert alone is not None and whole.at(cell) == alone
        interval = alone.interval()
        assert [of[cell] for of in bounds] == pytest.approx([interval.value, interval.low, interval.high, interval.confidence])
    assert shuffled.log == pytest.approx(whole.log) and shuffled.variance == pytest.approx(whole.variance)
