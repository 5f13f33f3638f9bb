"""Whether a mechanism is as good as another within a margin, over a family of tasks; and what differences so many seeds can decide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from scipy import optimize
from scipy import stats as scipy_stats

from attnbench.stats.crossed import Difference
from attnbench.stats.difference import LEVEL
from attnbench.stats.processes import satterthwaite

Finding = Literal["non-inferior", "inferior", "undecided"]

POWER = 0.8
NORMAL = 1e6  # degrees of freedom from which on Student's t is taken as normal


def family_difference(differences: Sequence[Difference], margins: Sequence[float]) -> Difference:
    """The mean over the tasks of a family of differences in units of their margins, so that 1 is a margin whatever the task's scale.

    differences: of each task, more is better, with seeds and items of its own: tasks that share test items vary together, which the
    variance here does not know. margins: of each task, above 0.

    Raises ValueError without tasks, or for margins that do not fit.
    """
    if not differences or len(differences) != len(margins) or min(margins) <= 0:
        raise ValueError(f"a family needs a margin above 0 for each task; it has {len(differences)} tasks and margins {list(margins)}")
    count = len(differences)
    value = sum(one.value / margin for one, margin in zip(differences, margins, strict=True)) / count
    parts = [(one.variance / (margin * count) ** 2, one.freedom) for one, margin in zip(differences, margins, strict=True)]
    variance = sum(part for part, _ in parts)
    return Difference(value, variance, satterthwaite(*parts) if math.isfinite(variance) else 1.0)


def non_inferior(difference: Difference, margin: float = 1.0, level: float = LEVEL) -> Finding:
    """Whether a mechanism is worse than another by less than a margin.

    "non-inferior": the lower one-sided bound of the difference is above -margin; "inferior": the upper one is below; "undecided" between.
    """
    if difference.p_above(-margin) < level:
        return "non-inferior"
    return "inferior" if difference.p_below(-margin) < level else "undecided"


def power_of(effect: float, sd: float, seeds: int, items_variance: float = 0.0, level: float = LEVEL) -> float:
    """How probably a true difference is decided, the right way round, by a two-sided t-test of two mechanisms.

    sd: between the seeds of each; the root of the mean square where they differ, of which Welch's test then decides up to five points less
    often than stated, by five seeds whose variances differ threefold. seeds: of each. items_variance: what the test items add to
    the variance of the difference. Of one seed each nothing is ever decided.
    """
    return _power(abs(effect), *_error(sd, seeds, items_variance), level / 2)


def power_non_inferior(
    true_difference: float, margin: float, sd: float, seeds: int, level: float = LEVEL, items_variance: float = 0.0, tasks: int = 1
) -> float:
    """How probably a mechanism is found "non-inferior" where it is truly better by `true_difference`.

    tasks: the number of tasks of a family, over which the mean is taken; the true difference, the margin, `sd` and `items_variance` are
    then of one task, in units of its margin.
    """
    error, freedom = _error(sd, seeds, items_variance)
    return _power(true_difference + margin, error / math.sqrt(tasks), freedom * tasks, level)


def detectable(sd_seeds: float, seeds: int, items_variance: float = 0.0, level: float = LEVEL, power: float = POWER) -> float:
    """The smallest true difference of two mechanisms that is decided with a power; infinite for one seed. See `power_of`."""
    error, freedom = _error(sd_seeds, seeds, items_variance)
    if not math.isfinite(error):
        return math.inf
    most = 2.0
    while _power(most, 1.0, freedom, level / 2) < power:
        most *= 2
    return error * float(optimize.brentq(lambda effect: _power(effect, 1.0, freedom, level / 2) - power, 0.0, most))


def _error(sd: float, seeds: int, items_variance: float) -> tuple[float, float]:
    """The standard error of the difference of two mechanisms that vary alike, and its degrees of freedom."""
    if seeds < 2:
        return math.inf, 1.0
    of_seeds = 2 * sd**2 / seeds
    return math.sqrt(of_seeds + items_variance), satterthwaite((of_seeds, 2.0 * (seeds - 1)), (items_variance, math.inf))


def _power(effect: float, error: float, freedom: float, tail: float) -> float:
    """How probably an estimate is above 0 by so much that its one-sided p-value is below `tail`."""
    if not error or not math.isfinite(error):
        return float(effect > 0 and not error)
    if freedom > NORMAL:
        return float(scipy_stats.norm.sf(scipy_stats.norm.isf(tail) - effect / error))
    return float(scipy_stats.nct.sf(scipy_stats.t.isf(tail, freedom), freedom, effect / error))
