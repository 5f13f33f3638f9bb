"""Damping, which takes orthogonality away from an orthogonal attention, makes deep skipless models worse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.claim import Claim, Decision
from attnbench.claims._findings import ahead, power_text, told
from attnbench.claims._leads import MARGINS, difference, learnt
from attnbench.claims._runs import BUDGET, COUNTED, SEEDS, Mechanism, On, arms, one_recipe, runs

if TYPE_CHECKING:
    import pandas as pd

ORTHOGONAL, DAMPED = "orthogonal_cayley", "orthogonal_cayley, damping 1"
ARMS = {ORTHOGONAL: Mechanism("orthogonal_cayley"), DAMPED: Mechanism("orthogonal_cayley(damping=1)")}
DEEP = 12
LEARNT = 0.2  # least accuracy above chance of one of the two, without which there is nothing to hurt
TASKS = (On("mnist"),)


def query(table: pd.DataFrame) -> pd.DataFrame:
    return one_recipe(runs(table, ARMS, TASKS, block="skipless", num_layers=DEEP), list(ARMS))


def decide(rows: pd.DataFrame) -> Decision:
    if not any(learnt(rows, arm, LEARNT) for arm in ARMS):
        return "inconclusive", f"neither reaches {LEARNT:g} above chance."
    found = difference(rows, ORTHOGONAL, DAMPED)
    return ahead(found, MARGINS["accuracy"]), f"{told('without damping ahead by', found, 'of accuracy')}."


CLAIM = Claim(
    statement="Damping an orthogonal attention, so that its singular values fall below one, makes deep skipless models worse.",
    quote="R_g = cay(K - g I), g = g0 / L, with singular values in [(1 - g/2) / (1 + g/2), 1]",
    citation="Miglior, Gravina, Bacciu 2026, on an orthogonal attention by the Cayley transform (SGT)",
    source="arXiv 2609.39739, version not noted",
    evaluated="Models of up to 32 layers with a value map that stays orthogonal and a scaled residual round the MLP; at 32 layers softmax "
    "collapses where the undamped keeps improving, at 8 it loses on one set.",
    rule=f"{COUNTED} Skipless models of {DEEP} layers on mnist. Reproduced: orthogonal_cayley is surely ahead of the same with damping 1 "
    f"by more than {MARGINS['accuracy']:g} of test accuracy, at 5 %, one-sided, by Welch's test. Partly: surely ahead, not surely by the "
    f"margin. Not reproduced: surely ahead by less, if at all. Where neither reaches {LEARNT:g} above chance nothing is decided.",
    power=power_text(SEEDS),
    arms=arms(ARMS, places=1),
    query=query,
    decide=decide,
    apart=(BUDGET,),
    as_reported=True,
)
