"""A table of times: the value of each mechanism of a setting, and how far two of them must differ to be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attnbench.stats import Location, Locations, Resolution, cheaper, cost_p_values, pair_errors

RATIO = "softmax_ratio"
NO_RATIO = -1  # the base of a number that is no ratio to softmax's own cells
Floats = NDArray[np.float64]
Whole = NDArray[np.intp]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class TimeTable:
    """The times of a setting's mechanisms, in the order in which these were given.

    metric: what they are ranked by, RATIO or seconds. values: ratios, with the errors of their numerators, or seconds; NaN where there are
    none. base: which of the denominators each has, NO_RATIO without; bases: these, softmax's own cells. seconds: NaN where they do not
    count. whys: why one has no rank, None where it has one. notes: what a reader must know. used: whether the value rests on each record
    of a mechanism. launch_bound: whether a GPU's call takes as long as launching its kernels.
    """

    metric: str
    values: Locations
    base: Whole
    bases: list[Location]
    seconds: Locations
    whys: list[str | None]
    notes: list[tuple[str, ...]]
    used: list[Bools]
    launch_bound: list[bool]
    resolution: Resolution | None

    def published(self) -> Locations:
        """What is shown of each mechanism, with the error of its denominator."""
        if not self.bases:
            return self.values
        variance, freedom = self.values.variance, self.values.freedom
        below = self._below()
        error, known = (np.append(of, last)[self.base] for of, last in zip(below, (0.0, np.inf), strict=True))  # NO_RATIO is the last
        with np.errstate(divide="ignore", invalid="ignore"):
            joint = (variance + error) ** 2 / (variance**2 / freedom + error**2 / known)
        return Locations(self.values.log, variance + error, np.where(np.isnan(joint), np.inf, joint), self.values.processes)

    def errors(self, places: Sequence[int]) -> tuple[Floats, Floats]:
        """Of each pair of some mechanisms, the variance of their difference and its degrees of freedom."""
        return pair_errors(self.values.variance[places], self.values.freedom[places], self.base[places], *self._below())

    def _below(self) -> tuple[Floats, Floats]:
        """The variances of the denominators, and their degrees of freedom."""
        variance, freedom = ([getattr(base, name) for base in self.bases] for name in ("variance", "freedom"))
        return np.array(variance, dtype=float), np.array(freedom, dtype=float)

    def over(self, one: int, other: int) -> Location:
        """The ratio of the times of two mechanisms; what both are divided by divides out."""
        variance, freedom = (float(of[0, 1]) for of in self.errors([one, other]))
        processes = int(min(self.values.processes[[one, other]]))
        return Location(float(self.values.log[one] - self.values.log[other]), variance, freedom, processes)

    def cheaper(self, places: Sequence[int]) -> Bools:
        """At [i, j]: whether the one of `places` surely takes less time than the other, by more than the table resolves."""
        log = self.values.log[places]
        return cheaper(cost_p_values(log, *self.errors(places)), log, self.resolution.factor if self.resolution else 1.0)
