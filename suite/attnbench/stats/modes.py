"""Whether the mean of a few values stands for them, or lies between groups of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

SPLIT = 0.5  # share of the scale


def in_groups(values: Sequence[float], scale: float) -> bool:
    """Whether values fall into groups that lie apart by more than half of a scale, so that their mean is near none of them.

    scale: the distance that matters, such as that from the result of knowing nothing to the best. It does not depend on how the values
    scatter, for of two or three values any scatter looks like groups.

    >>> in_groups([2.80, 4.30, 2.84], scale=1.68), in_groups([0.53, 0.74, 0.53], scale=0.74)
    (True, False)
    """
    return scale > 0 and any(after - before > SPLIT * scale for before, after in pairwise(sorted(values)))
