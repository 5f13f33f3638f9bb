"""Ranks with ties, from a matrix that says which surely beats which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def rank_ranges(beats: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last rank that each could have, from a matrix in which [i, j] says that i surely beats j.

    >>> rank_ranges(np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]], dtype=bool))
    [(1, 2), (1, 2), (3, 3)]
    """
    first, last = 1 + beats.sum(axis=0), len(beats) - beats.sum(axis=1)
    return list(zip(first.tolist(), last.tolist(), strict=True))


def ties(names: Sequence[Any], beats: NDArray[np.bool_]) -> list[tuple[Any, ...]]:
    """For each, the others from which the data cannot tell it apart, in the order of names. This is no equivalence: a may tie with b, and b
    with c, where a surely beats c.

    >>> ties("abc", np.array([[0, 0, 1], [0, 0, 0], [0, 0, 0]], dtype=bool))
    [('b',), ('a', 'c'), ('b',)]
    """
    row, column = (places.tolist() for places in np.nonzero(~(beats | beats.T | np.eye(len(beats), dtype=bool))))
    found: list[list[Any]] = [[] for _ in names]
    for i, j in zip(row, column, strict=True):
        found[i].append(names[j])
    return [tuple(others) for others in found]
