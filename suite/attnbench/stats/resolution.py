"""The resolution of a table of times: the smallest ratio of two times that it can show."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attnbench.stats.intervals import exp
from attnbench.stats.processes import Location, quantile

LEAST = 3  # cells
ONE_ERROR = 0.6827  # share of a normal distribution within one standard deviation


@dataclass(frozen=True)
class Resolution:
    """The smallest ratio at which two rows of a table are ordered.

    factor: the larger of the two below, 1.023 for example. between: what 95 % of the ratios of softmax to itself, measured in other
    processes, stay within. over_cells: the same from how softmax's time spreads over all cells of the setting, beside which it took turns;
    None where fewer than three cells have one. processes: in how many processes softmax's own cell was measured; 0 where it was not, so
    that `between` is of two rows like those of the table, by how far processes are known to differ.
    """

    between: float
    over_cells: float | None
    processes: int

    @property
    def factor(self) -> float:
        return max(self.between, self.over_cells or 1.0)


def resolution_of(softmax: Location, apart: NDArray[np.float64]) -> Resolution:
    """The resolution of a table.

    softmax: softmax's own cell, measured as the rows are. apart: by how much softmax took longer or shorter in the rounds of each cell of
    the setting than in its own, in logarithms. Their spread is taken from the middle two thirds, so that it is not one cell's.
    """
    between = exp(quantile(softmax.freedom) * math.sqrt(2 * softmax.variance))
    over_cells = None
    if len(apart) >= LEAST:
        over_cells = exp(quantile(math.inf) * float(np.quantile(np.abs(apart), ONE_ERROR)))
    return Resolution(between, over_cells, softmax.processes)
