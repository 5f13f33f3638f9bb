"""The resolution of a table of times: the smallest ratio of two times that it can show."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Resolution:
    """The smallest ratio at which two rows of a table are ordered.

    factor: the larger of the two below, 1.023 for example. between: what 95 % of the ratios of softmax to itself, measured in other
    processes, stay within. over_cells: the same from how softmax's time spreads over all cells of the setting, beside which it took turns;
    None where fewer than three cells have one. processes: in how many processes softmax's own cell was measured.
    """

    between: float
    over_cells: float | None
    processes: int

    @property
    def factor(self) -> float:
        return max(self.between, self.over_cells or 1.0)
