"""Marks of a task's table: what its results do not say, since all solve it, attention does not matter for it, or older models do better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from attnbench.analysis.samples import BASELINE
from attnbench.analysis.task_metrics import SOLVED, is_solved
from attnbench.spec.learning_grids import CONTROLS
from attnbench.store.metrics import higher_is_better

Kind = Literal["saturated", "not about attention", "below classical"]
UNRANKED: tuple[Kind, ...] = ("saturated", "not about attention")  # marks with which a task takes part in no average


@dataclass(frozen=True)
class Mark:
    """A mark, and the reason in words without a full stop."""

    kind: Kind
    why: str


def marks_of(metric: str, values: Mapping[str, float], ties: Mapping[str, Sequence[str]], classical: float | None = None) -> list[Mark]:
    """The marks of one setting.

    values: what each mechanism with a rank reached, by label. ties: the labels that each cannot be told from. classical: what a model
    without attention reaches (store.controls), None where that is not known.
    """
    found = []
    if is_solved(metric, values.values()):
        found.append(Mark("saturated", SOLVED))
    tied = [label for label in CONTROLS if label in ties.get(BASELINE, ())]
    if tied:
        found.append(Mark("not about attention", f"{' and '.join(tied)} cannot be told from {BASELINE} here"))
    if classical is not None and BASELINE in values:
        behind = classical - values[BASELINE] if higher_is_better(metric) else values[BASELINE] - classical
        if behind > 0:
            found.append(Mark("below classical", f"{BASELINE} does not reach what a model without attention does"))
    return found
