"""Tests which mechanisms are surely cheaper or better than which: all pairs at once, with the false discovery rate controlled.

Times are compared by the model of `processes`, beyond the resolution of their table; what is counted, by its numbers; scores of the same
seeds by a t-test on their differences, of other seeds as in `crossed`. A matrix of p-values holds at [i, j] that of the one-sided
alternative "i has more than j".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from attnbench.stats.processes import MANY

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Whole = NDArray[np.intp]

EXACT_MARGIN = 1.01  # of what is counted rather than timed, such as bytes
RESOLUTION = 1e-3  # of a score: what a test part of a thousand rows resolves
LEVEL = 0.05  # false discovery rate


def cheaper(p_values: Floats, log: Floats, resolution: float = 1.0, level: float = LEVEL) -> Bools:
    """At [i, j]: whether i surely takes less time than j, and by more than a factor of `resolution`.

    p_values: from `cost_p_values`; log: the logarithms of the costs.
    """
    apart: Bools = np.abs(log[:, None] - log) > np.log(resolution)
    return decided(p_values, level).T & apart


def cost_p_values(log: Floats, squared_error: Floats, freedom: Floats) -> Floats:
    """One-sided p-values of "i costs more than j", by Student's t.

    log: the logarithm of each cost. squared_error, freedom: of each pair, the variance of the difference and its degrees of freedom, from
    `pair_errors`.
    """
    return _t_p_values(log[:, None] - log, squared_error, freedom)


def pair_errors(variance: Floats, freedom: Floats, base: Whole, base_variance: Floats, base_freedom: Floats) -> tuple[Floats, Floats]:
    """The variance of the difference of each pair of ratios in logarithms, and its degrees of freedom.

    variance, freedom: of each numerator. base: the number of its denominator, of which `base_variance` and `base_freedom` are; -1 for a
    ratio without error below, such as one of turns in the same rounds. What two ratios share below divides out.
    """
    below, below_freedom = np.append(base_variance, 0.0)[base], np.append(base_freedom, np.inf)[base]  # -1 is the last
    apart = base[:, None] != base
    total = variance[:, None] + variance + np.where(apart, below[:, None] + below, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        own, others = variance**2 / freedom, below**2 / below_freedom
        found = total**2 / (own[:, None] + own + np.where(apart, others[:, None] + others, 0.0))
    return total, np.where(np.isnan(found), np.inf, found)


def exact_cheaper(samples: Sequence[Sequence[float]], margin: float = EXACT_MARGIN) -> Bools:
    """At [i, j]: whether all samples of i are less than all of j by more than a factor of `margin`. For costs without noise."""
    least, most = (np.array([of(mine) for mine in samples], dtype=float) for of in (min, max))
    below: Bools = most[:, None] * margin < least[None, :]
    return below


def decided(p_values: Floats, level: float) -> Bools:
    """At [i, j]: whether i has surely more than j, among all pairs, with at most the share `level` of such statements false.

    Benjamini and Hochberg 1995, on two-sided p-values: twice the smaller one-sided of each pair.
    """
    upper = np.triu_indices(len(p_values), 1)
    found = np.zeros(p_values.shape, dtype=bool)
    if not len(upper[0]):
        return found
    more, less = p_values[upper], p_values.T[upper]
    different = rejected(np.minimum(1.0, 2 * np.minimum(more, less)), level)
    found[upper] = different & (more < less)
    found.T[upper] = different & (less < more)
    return found


def rejected(p_values: Floats, level: float) -> Bools:
    """Which of several hypotheses Benjamini and Hochberg's procedure rejects at a false discovery rate.

    As scipy's false_discovery_control decides, in a tenth of its time: a leaderboard has thousands of tables.
    """
    if not len(p_values):
        return np.zeros(0, dtype=bool)
    ordered = np.sort(p_values)
    passing = np.flatnonzero(ordered <= level * np.arange(1, len(ordered) + 1) / len(ordered))
    found: Bools = p_values <= (ordered[passing[-1]] if len(passing) else -1.0)
    return found


def paired_p_values(by_seed: Sequence[Mapping[int, float]]) -> Floats:
    """One-sided p-values, by a t-test on the differences of seeds that both have, of "i scores higher than j". 1 below two seeds in common.

    The spread of the differences is taken as no less than RESOLUTION, and no less than half of what is usual (the median) among all pairs:
    three differences that happen to be equal do not make their mean certain, and among many pairs some are equal.
    """
    seeds = sorted({seed for mine in by_seed for seed in mine})
    scores = np.array([[mine.get(seed, np.nan) for seed in seeds] for mine in by_seed]).reshape(len(by_seed), len(seeds))
    differences = scores[:, None, :] - scores[None, :, :]
    held = ~np.isnan(differences)
    n = held.sum(axis=-1).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(held, differences, 0.0).sum(axis=-1) / n
        variance = (np.where(held, differences - mean[..., None], 0.0) ** 2).sum(axis=-1) / (n - 1)
        usual = variance[np.triu(n > 1, 1)]
        least = max(RESOLUTION**2, float(np.median(usual)) / 4 if len(usual) else 0.0)
        p = _t_p_values(mean, np.maximum(variance, least) / n, n - 1)
    return np.where(n > 1, p, 1.0)


def _t_p_values(distance: Floats, squared_error: Floats, freedom: Floats) -> Floats:
    """Upper tails of Student's t; without any spread 0 or 1 by the sign of the distance, and 1 where the spread is unknown."""
    with np.errstate(divide="ignore", invalid="ignore"):
        t = distance / np.sqrt(squared_error)
        p = stdtr(np.minimum(freedom, MANY), -t)
    p = np.where(squared_error == 0, np.where(distance > 0, 0.0, 1.0), p)
    return np.where(np.isfinite(squared_error), p, 1.0)
