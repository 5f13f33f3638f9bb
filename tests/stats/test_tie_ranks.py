"""Ranks no finer than what the data decide."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.stats import exact_cheaper, tie_ranks


def test_tie_ranks_by_hand() -> None:
    beats = np.zeros((4, 4), dtype=bool)
    beats[[0, 0, 1, 2], [2, 3, 3, 3]] = True  # a beats c; all beat d
    assert tie_ranks(beats) == [1.5, 2.0, 2.5, 4.0]
    assert tie_ranks(np.zeros((3, 3), dtype=bool)) == [2.0, 2.0, 2.0]
    assert tie_ranks(np.zeros((1, 1), dtype=bool)) == [1.0]
    assert tie_ranks(np.zeros((0, 0), dtype=bool)) == []


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=8), st.sampled_from([1.0, 1.2, 2.0]))
def test_tie_ranks_add_up_and_never_turn_an_order_round(costs: list[float], margin: float) -> None:
    beats = exact_cheaper([[cost] for cost in costs], margin)
    ranks = tie_ranks(beats)
    assert sum(ranks) == pytest.approx(len(costs) * (len(costs) + 1) / 2)
    assert all(ranks[i] < ranks[j] for i, j in np.argwhere(beats))
    if not beats.any():
        assert len(set(ranks)) == 1
