"""Over several tasks or settings: average ranks with a critical difference, and performance profiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats as scipy_stats

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class AverageRanks:
    """Average ranks over blocks, such as tasks.

    ranks: the average rank of each, 1 the best. critical_difference: by how much two average ranks must differ to count as different.
    beats: at [i, j] whether i is better than j by more than that. friedman_p: p-value of the hypothesis that all are equal; above the level
    none beats another.
    """

    ranks: list[float]
    critical_difference: float
    friedman_p: float
    beats: Bools


def average_ranks(scores: Sequence[Sequence[float]], level: float = 0.05) -> AverageRanks:
    """Friedman's test, then Nemenyi's critical difference q sqrt(k (k + 1) / 6 n) for k competitors over n blocks. Demšar 2006, JMLR 7.

    scores: [block][competitor], more is better, all finite: a block that lacks one is for the caller to leave out. Ties share their ranks.

    Raises ValueError for fewer than two competitors or blocks, or missing scores.
    """
    table = np.asarray(scores, dtype=float)
    if table.ndim != 2 or min(table.shape) < 2:
        raise ValueError(f"average ranks need at least two blocks of two competitors; the table is {' x '.join(map(str, table.shape))}")
    if not np.isfinite(table).all():
        raise ValueError("a score is missing; leave out blocks or competitors until none is")
    return average_of_places(scipy_stats.rankdata(-table, axis=1), level)


def average_of_places(places: Floats, level: float = 0.05) -> AverageRanks:
    """As `average_ranks`, of ranks that are known. places: [block][competitor], 1 the best; those of a block add up to k (k + 1) / 2.

    Raises ValueError for fewer than two competitors or blocks.
    """
    if places.ndim != 2 or min(places.shape) < 2:
        raise ValueError(f"average ranks need at least two blocks of two competitors; there are {' x '.join(map(str, places.shape))}")
    n, k = places.shape
    ranks = places.mean(axis=0)
    q = float(scipy_stats.studentized_range.ppf(1 - level, k, np.inf)) / math.sqrt(2)
    difference = q * math.sqrt(k * (k + 1) / (6 * n))
    p = _friedman_p(places)
    beats = (ranks[None, :] - ranks[:, None] > difference) & (p <= level)
    return AverageRanks(ranks.tolist(), difference, p, beats)


def _friedman_p(places: Floats) -> float:
    """The p-value of Friedman's statistic, corrected for ties. For two, which scipy refuses, the sign test's approximation."""
    n, k = places.shape
    spread = ((places - (k + 1) / 2) ** 2).sum()
    if spread == 0:
        return 1.0
    statistic = (k - 1) * ((places.sum(axis=0) - n * (k + 1) / 2) ** 2).sum() / spread
    return float(scipy_stats.chi2.sf(statistic, k - 1))


def performance_profile(costs: Sequence[Sequence[float]], factors: Sequence[float]) -> list[list[float]]:
    """For each competitor the share of blocks in which it costs at most a factor times what the cheapest does. Dolan and Moré 2002.

    costs: [block][competitor]; infinite where it failed, which is within no factor. Blocks in which all failed do not count.
    Returns [competitor][factor].

    Raises ValueError when a cost is missing or not positive: what was not measured is neither a failure nor a success.
    """
    table = np.asarray(costs, dtype=float)
    if table.ndim != 2 or np.isnan(table).any() or (table <= 0).any():
        raise ValueError("a profile needs a positive cost, infinite for a failure, of every competitor in every block")
    table = table[np.isfinite(table).any(axis=1)]
    if not len(table):
        return [[0.0 for _ in factors] for _ in range(table.shape[1])]
    ratios = table / table.min(axis=1, keepdims=True)
    return [[float((ratios[:, i] <= factor).mean()) for factor in factors] for i in range(table.shape[1])]
