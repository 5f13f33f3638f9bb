"""Our question: does orthogonality help a deep skipless model once softmax starts as well, or is it the start that helps?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.claim import Claim, Decision, combined
from attnbench.claims._findings import ahead, power_text, told
from attnbench.claims._leads import MARGINS, difference, learnt
from attnbench.claims._runs import BUDGET, COUNTED, SEEDS, Mechanism, On, arms, one_recipe, runs

if TYPE_CHECKING:
    import pandas as pd

OTHERS = {name: Mechanism(name) for name in ("softmax_orthogonal_init", "value_skipinit", "shaped")}
ARMS = {"orthogonal": Mechanism("orthogonal"), **OTHERS}
DEEP = 12
LEARNT = 0.2  # least accuracy above chance of one of them, without which there is nothing to compare
TASKS = (On("mnist"),)


def query(table: pd.DataFrame) -> pd.DataFrame:
    return one_recipe(runs(table, ARMS, TASKS, block="skipless", num_layers=DEEP), list(ARMS))


def decide(rows: pd.DataFrame) -> Decision:
    if not any(learnt(rows, arm, LEARNT) for arm in ARMS):
        return "inconclusive", f"none reaches {LEARNT:g} above chance."
    found = {name: difference(rows, "orthogonal", name) for name in OTHERS}
    said = "; ".join(told(f"orthogonal ahead of {name} by", of, "of accuracy") for name, of in found.items())
    return combined(ahead(of, MARGINS["accuracy"]) for of in found.values()), f"{said}."


CLAIM = Claim(
    statement="Orthogonality helps deep skipless models beyond what a good start of softmax attention does.",
    quote="Furthermore, we derive an initialisation scheme for which we prove ensures that the Jacobian of OSA is well-conditioned.",
    citation="Zhang and Martens 2026, Orthogonal Self-Attention",
    source="arXiv 2602.05996 v1",
    evaluated="Orthogonal attention with its start against softmax attention; whether its start alone would do is left open.",
    rule=f"{COUNTED} Skipless models of {DEEP} layers on mnist. The others are softmax attention that starts as orthogonal attention does, "
    "Value-SkipInit and shaped attention, which start as the identity. Reproduced: orthogonal is surely ahead of each by more than "
    f"{MARGINS['accuracy']:g} of test accuracy, at 5 %, one-sided, by Welch's test. Partly: surely ahead, not surely by the margin; or of "
    f"some of them only. Not reproduced: surely ahead of none by the margin. Where none reaches {LEARNT:g} above chance nothing is "
    "decided.",
    power=power_text(SEEDS),
    arms=arms(ARMS, places=1),
    query=query,
    decide=decide,
    apart=(BUDGET,),
    question=True,
)
