"""Our question: does the norm of the polynomial's attention matrix stay of the order of sqrt(N) in training?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.claim import Claim, Decision, combined
from attnbench.claims._norms import in_training, within
from attnbench.claims._power import power_of_within
from attnbench.claims._runs import BUDGET, DECAYS, POLYNOMIALS, PROTOCOL, SEEDS, arms

if TYPE_CHECKING:
    import pandas as pd

BOUND = 10.0  # times √N


def query(table: pd.DataFrame) -> pd.DataFrame:
    return in_training(table, "largest_frobenius", POLYNOMIALS, block="residual", weight_decay=DECAYS)


def decide(rows: pd.DataFrame) -> Decision:
    found = {name: own for name, own in rows.groupby(["arm", "at"], sort=True)}
    told = "; ".join(f"{arm} on {task} at most {own['value'].max():.3g} √N" for (arm, task), own in found.items())
    return combined(within(own, BOUND) for own in found.values()), f"{told}."


CLAIM = Claim(
    statement="The norm ||A||_F of polynomial attention stays of the order of √N in training.",
    quote="… softmax's effectiveness lies in its implicit regularization of the Frobenius norm of the attention matrix, which stabilizes "
    "training. Motivated by this, we explore alternative activations, specifically polynomials, that achieve a similar regularization "
    "effect.",
    citation="Saratchandran, Zheng, Ji, Zhang, Lucey 2024, Rethinking Attention: Polynomial Alternatives to Softmax in Transformers",
    source="arXiv 2410.18613 v3",
    evaluated="The paper bounds the norm for random inputs, at initialisation; what it shows of training is not known to us.",
    rule=f"Tuned residual models of x³/√N and of x² with a learned scale by protocol {PROTOCOL.name}, from the usual start, on two tasks "
    f"or more, with {SEEDS} seeds: the largest ||A||_F of any layer and head on a few rows, before training or after any epoch. Of each "
    f"arm on each task it holds if that is at most {BOUND:g} √N in every seed, and fails if in none. Reproduced: all hold. Not "
    "reproduced: all fail. Partly: some hold and some fail. Runs of twice the budget, and those with a weight decay of 0 and of 0.1, are "
    "judged apart.",
    power=power_of_within(SEEDS, len(POLYNOMIALS), tasks=2),
    arms=arms(POLYNOMIALS, places=2),
    query=query,
    decide=decide,
    apart=(BUDGET, "weight_decay"),
    question=True,
)
