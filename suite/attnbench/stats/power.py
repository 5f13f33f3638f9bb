"""How probably a rule finds what is true: of differences of two mechanisms over seeds and test items, and of exponents of growth.

Seeds and items are taken as normal, and the degrees of freedom as those of the true variances. Floors of variances, and degrees of freedom
that are themselves estimated, change a power by a few points; tests hold what is said here to the rules by simulation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.special import gammaincinv, ndtr, ndtri, stdtrit

from attnbench.stats.difference import LEVEL
from attnbench.stats.processes import CONFIDENCE, quantile, satterthwaite

Floats = NDArray[np.float64]
# From the standard errors that may be found and their degrees of freedom to the two bounds between which an estimate fulfils a rule.
Region = Callable[[Floats, float], tuple[Floats, Floats]]

POWER = 0.8
NORMAL = 1e6  # degrees of freedom from which on Student's t is taken as normal
STEPS = 128  # equally probable values of what is integrated over
FURTHEST = 1e3  # of an estimate from the truth, in standard errors


@dataclass(frozen=True)
class Design:
    """How the difference of two mechanisms is measured, all in one unit.

    seeds: of each, two or more. sd: between the seeds of each. items: the standard deviation that the test items, which are the same for
    both, add to the difference. tasks: over which the mean is taken, each with seeds and items of its own. share: by what the scores of the
    second are multiplied.

    Raises ValueError for fewer seeds, or where nothing spreads.
    """

    seeds: int
    sd: float
    items: float = 0.0
    tasks: int = 1
    share: float = 1.0

    def __post_init__(self) -> None:
        if self.seeds < 2 or not self.sd + self.items > 0:
            raise ValueError(f"a design has two seeds or more, and some spread; this has {self.seeds}, which spread by {self.sd:g}")

    def error(self) -> tuple[float, float]:
        """The standard error of the difference, and the degrees of freedom by which it is known; by far the most where it is of items."""
        one, other = self.sd**2 / self.seeds, (self.share * self.sd) ** 2 / self.seeds
        freedom = satterthwaite((one, self.seeds - 1), (other, self.seeds - 1), (self.items**2, math.inf))
        return math.sqrt((one + other + self.items**2) / self.tasks), min(freedom * self.tasks, NORMAL)


def surely_above(bound: float, level: float = LEVEL) -> Region:
    """Estimates whose one-sided test says that the truth is above a bound."""

    def region(errors: Floats, freedom: float) -> tuple[Floats, Floats]:
        return bound + _t(freedom, level) * errors, np.full_like(errors, np.inf)

    return region


def surely_close(margin: float, sides: int) -> Region:
    """Estimates that are surely above 0 by less than a margin, if at all, and not surely above it; of two sides, so to either side.

    "Surely close" is at LEVEL to each side, "surely apart" at LEVEL for all sides together.
    """

    def region(errors: Floats, freedom: float) -> tuple[Floats, Floats]:
        high = np.minimum(margin - _t(freedom, LEVEL) * errors, _t(freedom, LEVEL / sides) * errors)
        return (-high if sides == 2 else np.full_like(errors, -np.inf)), high

    return region


def power(region: Region, truth: float, design: Design, together: int = 1) -> float:
    """How probably an estimate lies in a region where the true difference is `truth`.

    together: of so many differences at once, which share one of their two mechanisms, so that they vary together: half of the variance of
    each is that of the shared one.
    """
    error, freedom = design.error()
    low, high = ((bound - truth) / error for bound in region(error * np.sqrt(_variances(freedom)), freedom))
    low, high = np.clip(low, -FURTHEST, FURTHEST), np.clip(np.maximum(low, high), -FURTHEST, FURTHEST)
    if together == 1:
        return float((ndtr(high) - ndtr(low)).mean())
    shared, root = ndtri(_middles())[:, None], math.sqrt(2)
    given = (ndtr(root * high - shared) - ndtr(root * low - shared)).mean(axis=1)  # of one, by what the shared mechanism happens to have
    return float((given**together).mean())


def least_truth(region: Region, design: Design, wanted: float = POWER) -> float:
    """The smallest true difference that is found with a power. region: one that has no upper bound."""
    most = 1.0
    while power(region, most, design) < wanted:
        most *= 2
    return float(optimize.brentq(lambda truth: power(region, truth, design) - wanted, -most, most))


def power_of_exponent(distance: float, sizes: Sequence[float], error: float, is_known: bool) -> float:
    """How probably the interval of a growth exponent lies on the right side of a bound, where costs follow a power law but for their noise.

    distance: of the true exponent from the bound. error: the standard deviation of the logarithm of each cost. is_known: whether
    growth.exponent is told the variances of the costs, beside what the misfit says of them.
    """
    x = np.log(np.asarray(sizes, dtype=float))
    one, freedom = error / math.sqrt(float(((x - x.mean()) ** 2).sum())), len(x) - 2
    half = quantile(freedom, CONFIDENCE) * np.sqrt(_variances(freedom))
    half = np.maximum(half, quantile(math.inf, CONFIDENCE)) if is_known else half
    return float(ndtr(np.clip(distance / one - half, -FURTHEST, FURTHEST)).mean())


def least_distance(sizes: Sequence[float], error: float, is_known: bool, wanted: float = POWER) -> float:
    """The smallest distance of a true exponent from a bound at which its side is found with a power."""
    most = 1.0
    while power_of_exponent(most, sizes, error, is_known) < wanted:
        most *= 2
    return float(optimize.brentq(lambda far: power_of_exponent(far, sizes, error, is_known) - wanted, 0.0, most))


def distance_of_agreement(seeds: int, conditions: int = 1, wanted: float = POWER) -> float:
    """How far beyond its threshold a normal quantity has to be on average, in standard deviations between seeds, to be so in every seed.

    conditions: quantities that all have to be beyond thresholds of their own, each that far; their misses are added up, so that the power
    is had at least, however they depend on one another.
    """
    return float(ndtri((1 - (1 - wanted) / conditions) ** (1 / seeds)))


@lru_cache
def _middles() -> Floats:
    """The middles of equally probable parts."""
    return (np.arange(STEPS) + 0.5) / STEPS


@lru_cache(64)
def _variances(freedom: float) -> Floats:
    """Variances that are found where the true one is 1, equally probable."""
    return np.asarray(gammaincinv(freedom / 2, _middles()) * 2 / freedom, dtype=np.float64)


def _t(freedom: float, tail: float) -> float:
    return -float(stdtrit(freedom, tail))
