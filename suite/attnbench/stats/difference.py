"""Tests which mechanisms are surely cheaper or better than which: all pairs at once, with the false discovery rate controlled.

Costs are compared by a rank test on raw samples; scores by a t-test paired by seed. A matrix of p-values holds at [i, j] that of the
one-sided alternative "i has more than j".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import binom, ndtr, stdtr

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

Samples = Sequence[Sequence[float]] | Sequence[Floats]

RANKED = 8  # samples on either side, below which a rank test can hardly reach 1 % among many pairs
MANY = 20  # samples, from which on the normal distribution too gives ranks that do not overlap a p-value of almost 0
# Two processes that time the same code give ratios to softmax a few percent apart, however many samples each takes: it is where their
# memory lies, and no test on the samples within a process can know. So a cost counts as different only beyond this factor.
MARGIN = 1.05
BETWEEN = float(np.log(MARGIN)) / 2  # the same as a standard deviation of a logarithm
EXACT_MARGIN = 1.01  # of what is counted rather than timed, such as bytes
RESOLUTION = 1e-3  # of a score: what a test part of a thousand rows resolves
COST_LEVEL, SCORE_LEVEL = 0.01, 0.05


def cheaper(samples: Sequence[Sequence[float]], level: float = COST_LEVEL, margin: float = MARGIN) -> Bools:
    """At [i, j]: whether i costs surely less than j, by more than a factor of `margin`. samples: of a positive cost, for each."""
    return decided(cost_p_values(samples, margin), level).T


def exact_cheaper(samples: Sequence[Sequence[float]], margin: float = EXACT_MARGIN) -> Bools:
    """At [i, j]: whether all samples of i are less than all of j by more than a factor of `margin`. For costs without noise."""
    least, most = (np.array([of(mine) for mine in samples], dtype=float) for of in (min, max))
    below: Bools = most[:, None] * margin < least[None, :]
    return below


def scoring_higher(by_seed: Sequence[Mapping[int, float]], level: float = SCORE_LEVEL) -> Bools:
    """At [i, j]: whether i surely scores higher than j, by the seeds that both have. by_seed: the score of every seed, for each."""
    return decided(paired_p_values(by_seed), level)


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


def cost_p_values(samples: Samples, margin: float = 1.0) -> Floats:
    """One-sided p-values of "i costs more than `margin` times what j does".

    Where both have at least eight samples, a rank test; else Welch's t-test on logarithms, because three samples against three cannot reach
    5 % by rank, even if one costs a hundred times the other. There the variance of fewer than eight samples is taken as no less than the
    mean variance of all that have so few: three samples of one mode of two seem to have no spread. Where ranks do not overlap at all, the
    p-value is exact: that of the normal distribution for eight against eight is too large to tell one mechanism from 22 others.

    A margin also allows for the difference of two processes: it is two standard deviations of that. A normal distribution with this spread
    gives a second p-value, and the larger one counts: among the 253 pairs of 23 equal mechanisms some differ by more than the margin.
    """
    arrays = [np.asarray(mine, dtype=float) for mine in samples]
    counts = np.array([len(mine) for mine in arrays])
    few = np.minimum(counts[:, None], counts[None, :]) < RANKED
    p = np.ones(few.shape) if few.all() else rank_p_values(arrays, margin)
    if counts.min(initial=MANY) < MANY and not few.all():
        p = np.minimum(p, _apart_p_values(arrays, margin))
    if few.any():
        p = np.where(few, _welch(arrays, margin, counts < RANKED), p)
    if margin > 1:
        p = np.maximum(p, _process_p_values(arrays, float(np.log(margin)) / 2))
    return p


def _apart_p_values(samples: Sequence[Floats], margin: float) -> Floats:
    """The exact rank test's p-value, n! m! / (n + m)!, where all samples of i exceed `margin` times all of j, else 1."""
    counts = np.array([len(mine) for mine in samples], dtype=float)
    least, most = (np.array([of(mine) for mine in samples]) for of in (np.min, np.max))
    exact = 1 / binom(counts[:, None] + counts, counts[:, None])
    return np.where(least[:, None] > margin * most, exact, 1.0)


def _process_p_values(samples: Sequence[Floats], between: float) -> Floats:
    """One-sided p-values of "i costs more than j", where processes alone make a log ratio of standard deviation `between`.

    It compares means of logarithms. The outermost tenth on either side is set to the next value within, so that a stall or two change
    nothing.
    """
    means, errors, counts = np.zeros(len(samples)), np.zeros(len(samples)), np.array([len(mine) for mine in samples])
    for count in set(counts.tolist()):
        mine = np.flatnonzero(counts == count)
        logs = np.sort(np.log(np.array([samples[i] for i in mine.tolist()], dtype=float)), axis=1)
        outer = min(-(-count // 10), (count - 1) // 2)
        logs = np.clip(logs, logs[:, outer, None], logs[:, -1 - outer, None])
        means[mine], errors[mine] = logs.mean(axis=1), logs.var(axis=1) / count
    p: Floats = ndtr(-(means[:, None] - means) / np.sqrt(between**2 + errors[:, None] + errors))
    return p


def rank_p_values(samples: Samples, margin: float = 1.0) -> Floats:
    """One-sided Mann-Whitney p-values of "samples of i exceed `margin` times those of j", with the normal distribution, corrected for ties
    and for continuity, as scipy's mannwhitneyu(method="asymptotic") gives them pair by pair."""
    counts = np.array([len(mine) for mine in samples], dtype=float)
    owner = np.repeat(np.arange(len(samples)), counts.astype(int))
    plain = np.concatenate([np.asarray(mine, dtype=float) for mine in samples])
    raised = plain * margin
    order = np.argsort(raised, kind="stable")
    ordered = raised[order]
    below = np.zeros((len(plain) + 1, len(samples)))  # below[k, j]: how many of the k smallest raised samples are of j
    np.cumsum(owner[order][:, None] == np.arange(len(samples)), axis=0, out=below[1:])
    left, right = below[np.searchsorted(ordered, plain, "left")], below[np.searchsorted(ordered, plain, "right")]
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(int)
    exceeds = np.add.reduceat((left + right) / 2, starts, axis=0)
    product, total = counts[:, None] * counts, counts[:, None] + counts
    some = (left.sum() + len(plain) * (margin == 1.0) < right.sum()) or (ordered[1:] == ordered[:-1]).any()
    tied = _tied(plain, raised, owner, len(samples)) if some else 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = product / 12 * (total + 1 - tied / (total * (total - 1)))
        p = ndtr(-(exceeds - product / 2 - 0.5) / np.sqrt(variance))
    return np.where(variance > 0, p, 1.0)


def _tied(plain: Floats, raised: Floats, owner: NDArray[np.intp], size: int) -> Floats:
    """Sum of t^3 - t over the groups of equal values among the samples of i and the raised ones of j, t values each."""
    _, group, repeats = np.unique(np.concatenate([plain, raised]), return_inverse=True, return_counts=True)
    place = np.cumsum(repeats > 1) - 1  # only values that occur again
    counted = [np.zeros((int((repeats > 1).sum()), size)) for _ in range(2)]
    for counts, mine in zip(counted, (group[: len(plain)], group[len(plain) :]), strict=True):
        again = repeats[mine] > 1
        np.add.at(counts, (place[mine[again]], owner[again]), 1.0)
    a, b = counted
    cubes = (a**3).sum(0)[:, None] + (b**3).sum(0) + 3 * (a**2).T @ b + 3 * a.T @ b**2
    return cubes - a.sum(0)[:, None] - b.sum(0)


def welch_p_values(samples: Sequence[Sequence[float]], margin: float = 1.0) -> Floats:
    """One-sided p-values, by Welch's t on logarithms, of "the geometric mean of i exceeds `margin` times that of j". 1 where either has a
    single sample, for then nothing is known of its spread."""
    return _welch(samples, margin, np.zeros(len(samples), dtype=bool))


def _welch(samples: Samples, margin: float, pooled: Bools) -> Floats:
    """Welch's p-values, the variance of those that are pooled no less than their mean variance, weighted by degrees of freedom."""
    logs = [np.log(np.asarray(mine, dtype=float)) for mine in samples]
    counts = np.array([len(mine) for mine in logs], dtype=float)
    means = np.array([mine.mean() for mine in logs])
    variances = np.array([mine.var(ddof=1) if len(mine) > 1 else np.inf for mine in logs])
    known = pooled & (counts > 1)
    if known.any():
        variances[known] = np.maximum(variances[known], np.average(variances[known], weights=counts[known] - 1))
    errors = variances / counts
    distance = means[:, None] - means - np.log(margin)
    return _t_p_values(distance, errors[:, None] + errors, _welch_freedom(errors, counts))


def _welch_freedom(errors: Floats, counts: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = errors**2 / (counts - 1)
        return (errors[:, None] + errors) ** 2 / (parts[:, None] + parts)


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
        p = stdtr(freedom, -t)
    p = np.where(squared_error == 0, np.where(distance > 0, 0.0, 1.0), p)
    return np.where(np.isfinite(squared_error), p, 1.0)
