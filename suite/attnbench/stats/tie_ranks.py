"""Ranks no finer than what the data decide."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from attnbench.stats.ranks import rank_ranges


def tie_ranks(beats: NDArray[np.bool_]) -> list[float]:
    """The middle of the first and the last rank that each could have, from a matrix in which [i, j] says that i surely beats j.

    Averages of these over tasks count what was decided and nothing else: where no two are told apart all have the same rank. They add up as
    ranks do, to n (n + 1) / 2.

    >>> tie_ranks(np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]], dtype=bool))
    [1.5, 1.5, 3.0]
    """
    return [(first + last) / 2 for first, last in rank_ranges(beats)]
