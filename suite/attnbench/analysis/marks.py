"""Marks of a task's table: what its results do not say, since all solve it, attention does not matter for it, or older models do better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from attnbench.analysis.samples import BASELINE
from attnbench.analysis.task_metrics import SOLVED_ABOVE, is_solved
from attnbench.spec.learning_grids import CONTROLS
from attnbench.spec.protocol import PROTOCOLS
from attnbench.store.metrics import higher_is_better

Kind = Literal["saturated", "not about attention", "below classical"]
UNRANKED: tuple[Kind, ...] = ("saturated", "not about attention")  # marks with which a task takes part in no average
LEAST_SEEDS = 3  # asked of a result where its protocol is not known here


@dataclass(frozen=True)
class Reached:
    """What a mechanism with a rank reached: its mean over so many seeds, and the labels that it cannot be told from."""

    value: float
    seeds: int
    ties: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mark:
    """A mark, and the reason in words without a full stop."""

    kind: Kind
    why: str


def is_control(label: str) -> bool:
    """Whether a mechanism is there to say what a task gives without a choice of tokens, and does not compete with others."""
    return label in CONTROLS


def seeds_asked(protocol: str) -> int:
    """How many seeds a protocol, by its name, asks of a row of a ranked table; 3 where the protocol is not known here."""
    return PROTOCOLS[protocol].ranked_seeds if protocol in PROTOCOLS else LEAST_SEEDS


def marks_of(metric: str, reached: Mapping[str, Reached], asked: int, classical: float | None = None) -> list[Mark]:
    """The marks of one setting.

    reached: of each mechanism with a rank, controls included, by label. asked: how many seeds softmax and a control must have for their tie
    to say anything: of fewer a test may tell nothing apart for want of data. classical: what a model without attention reaches
    (store.controls), None where that is not known.
    """
    found = []
    if is_solved(metric, [of.value for label, of in reached.items() if not is_control(label)]):
        aside = ", controls aside," if any(map(is_control, reached)) else ""
        found.append(Mark("saturated", f"all mechanisms{aside} are above {SOLVED_ABOVE:g}"))
    tied = [label for label in CONTROLS if _is_tie(reached.get(BASELINE), reached.get(label), label, asked)]
    if tied:
        found.append(Mark("not about attention", f"{' and '.join(tied)} cannot be told from {BASELINE} here"))
    if classical is not None and BASELINE in reached:
        value = reached[BASELINE].value
        behind = classical - value if higher_is_better(metric) else value - classical
        if behind > 0:
            found.append(Mark("below classical", f"{BASELINE} does not reach what a model without attention does"))
    return found


def _is_tie(softmax: Reached | None, control: Reached | None, label: str, asked: int) -> bool:
    """Whether softmax and a control, by its label, both have the seeds asked for and cannot be told apart."""
    return softmax is not None and control is not None and label in softmax.ties and min(softmax.seeds, control.seeds) >= asked
