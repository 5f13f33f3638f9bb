"""Whether a mechanism is as good as another within a margin, over a family of tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from attnbench.stats.crossed import Difference
from attnbench.stats.difference import LEVEL
from attnbench.stats.processes import satterthwaite

Finding = Literal["non-inferior", "inferior", "undecided"]


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
