"""Pareto frontiers of values that may be tied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Place = Literal["frontier", "undecided", "dominated"]


def frontier(costs: Sequence[float], gains: Sequence[float], cheaper: NDArray[np.bool_], better: NDArray[np.bool_]) -> list[Place]:
    """For each, whether it is on the frontier of low cost and high gain.

    cheaper, better: at [i, j] whether i is so surely. "dominated": another is surely ahead in one respect, and in the other not behind;
    "frontier": no other is ahead in one and not behind in the other, even by the measured values alone; "undecided" between the two.

    >>> sure = np.array([[0, 0], [1, 0]], dtype=bool)
    >>> frontier([2.0, 1.0], [0.9, 0.9], sure, np.zeros((2, 2), dtype=bool))
    ['dominated', 'frontier']
    """
    cost, gain = np.asarray(costs, dtype=float), np.asarray(gains, dtype=float)
    not_behind = (cost[:, None] <= cost) & (gain[:, None] >= gain)
    ahead = not_behind & ((cost[:, None] < cost) | (gain[:, None] > gain))
    dominated: NDArray[np.bool_] = np.any(not_behind & (cheaper | better), axis=0)
    doubted: NDArray[np.bool_] = np.any(ahead, axis=0)
    return ["dominated" if surely else "undecided" if perhaps else "frontier" for surely, perhaps in zip(dominated, doubted, strict=True)]
