"""The resolution of a table of scores: how far apart the scores of two equal mechanisms may be by chance."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from attnbench.stats.crossed import crossed_difference
from attnbench.stats.processes import CONFIDENCE, quantile

Floats = NDArray[np.float64]


def resolution_of_scores(softmax: Floats, weights: Floats | None, seeds: int, confidence: float = CONFIDENCE) -> float:
    """The half-width of the interval of the difference of two equal mechanisms at a number of seeds and on these test items, from softmax's
    own seeds. NaN where softmax has fewer than two.

    softmax, weights: as in `crossed`. The difference of the mean scores of twice `seeds` fresh runs of softmax stays within it with the
    confidence, over all seeds that softmax could have had: the variance of its runs comes from few of them, so that the quantile is
    Student's with one degree of freedom less than softmax has seeds (4.3 for three, 2.8 for five, 2.4 for eight). Items that one mechanism
    finds easier than another are no part of it, for softmax does not differ from itself: two different mechanisms that are equal on average
    may be further apart. A variance that is tiny by chance is taken as larger, as in `crossed`: of three seeds it covers up to 98 %.
    """
    if len(softmax) < 2 or seeds < 1:
        return math.nan
    of_own = crossed_difference(softmax, softmax, weights).variance  # twice the variance between seeds over their number
    return quantile(len(softmax) - 1, confidence) * math.sqrt(of_own * len(softmax) / seeds)
