"""Whether a mean stands for the values that it is of."""

from __future__ import annotations

import itertools

import pytest

from attnbench.stats import in_groups


@pytest.mark.parametrize(
    ("values", "scale", "expected"),
    [
        ([2.80, 4.30, 2.84], 1.68, True),  # two learned and one did not
        ([0.816, 0.835, 0.094], 0.735, True),
        ([0.525, 0.739, 0.532], 0.735, False),  # apart, but not by half of what there is to learn
        ([2.4123, 2.4433, 2.4022], 2.0, False),
        ([0.100, 0.100, 0.094], 0.735, False),  # none learned
        ([0.0, 1.0], 2.0, False),  # exactly half is not more than half
        ([0.0, 1.01], 2.0, True),
        ([0.0, 0.4, 0.8, 1.2, 1.6, 2.0], 2.0, False),  # a wide spread without a gap
        ([1.0], 1.0, False),
        ([], 1.0, False),
        ([0.0, 5.0], 0.0, False),  # nothing is known of the scale
    ],
)
def test_groups_lie_apart_by_more_than_half_of_what_there_is_to_learn(values: list[float], scale: float, expected: bool) -> None:
    for order in itertools.islice(itertools.permutations(values), 30):
        assert in_groups(order, scale) is expected
        assert in_groups([-value for value in order], scale) is expected  # whichever direction is better
