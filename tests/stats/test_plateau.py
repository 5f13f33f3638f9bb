"""The width of the plateau around the best learning rate."""

from __future__ import annotations

import math
from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.stats import plateau

DECADES = {1e-5: 3.0, 1e-4: 2.0, 1e-3: 1.0, 1e-2: 1.1, 1e-1: 2.1}
LOSSES = st.dictionaries(st.integers(-6, 0), st.floats(0, 4) | st.just(math.inf), min_size=1, max_size=7).filter(
    lambda losses: min(losses.values()) < math.inf
)


def test_ends_are_interpolated_over_the_logarithm_of_the_rate() -> None:
    """Within 0.5 of 1.0: halfway from 1e-3 to 1e-4, and four tenths of the way from 1e-2 to 1e-1."""
    assert astuple(plateau(DECADES, True, 0.5)) == pytest.approx((10**-3.5, 10**-1.6, 1.9, False, False))


def test_scores_of_which_more_is_better_are_the_same_turned_round() -> None:
    assert plateau({rate: -loss for rate, loss in DECADES.items()}, False, 0.5) == plateau(DECADES, True, 0.5)


def test_it_is_open_where_the_rates_end_within_the_tolerance() -> None:
    assert astuple(plateau(DECADES, True, 1.5)) == pytest.approx((10**-4.5, 1e-1, 3.5, False, True))
    assert astuple(plateau(DECADES, True, 9.0)) == pytest.approx((1e-5, 1e-1, 4.0, True, True))
    assert astuple(plateau({1e-3: 2.0}, True, 0.1)) == pytest.approx((1e-3, 1e-3, 0.0, True, True))


def test_it_ends_at_the_last_rate_before_one_that_diverged() -> None:
    for failed in (math.inf, math.nan):
        found = plateau({1e-4: 1.05, 1e-3: 1.0, 1e-2: failed}, True, 0.1)
        assert astuple(found) == pytest.approx((1e-4, 1e-3, 1.0, True, False))


def test_it_is_one_run_of_neighbours_and_a_dip_beyond_a_ridge_is_none_of_it() -> None:
    found = plateau({1e-5: 1.0, 1e-4: 3.0, 1e-3: 1.0, 1e-2: 3.0}, True, 0.5)
    assert astuple(found) == pytest.approx((1e-5, 10**-4.75, 0.25, True, False))  # of equals the smaller rate is the best


def test_without_a_finite_loss_none_is_best() -> None:
    with pytest.raises(ValueError, match="none is best"):
        plateau({1e-3: math.inf, 1e-2: math.nan}, True, 0.5)


@given(LOSSES, st.floats(0, 3), st.floats(0, 3), st.randoms(use_true_random=False))
def test_more_tolerance_is_wider_whatever_the_order(losses: dict[int, float], one: float, other: float, order: object) -> None:
    given_ = [(10.0**power, loss) for power, loss in losses.items()]
    narrow, wide = plateau(dict(given_), True, min(one, other)), plateau(dict(given_), True, max(one, other))
    assert wide.low <= narrow.low * (1 + 1e-9) and narrow.high <= wide.high * (1 + 1e-9) and narrow.decades <= wide.decades + 1e-9
    best = min(given_, key=lambda pair: (pair[1], pair[0]))[0]
    assert min(losses) - 1e-9 <= math.log10(narrow.low) <= math.log10(best) + 1e-9 <= math.log10(narrow.high) + 2e-9 <= max(losses) + 3e-9
    order.shuffle(given_)  # type: ignore[attr-defined]
    assert plateau(dict(given_), True, max(one, other)) == wide
