"""Our question: does a smaller norm of the query and key weights at the start change what a mechanism learns?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.claim import Claim, Decision, combined
from attnbench.claims._findings import differs, told
from attnbench.claims._leads import MARGINS, TELLING, family, telling
from attnbench.claims._power import power_of_differs
from attnbench.claims._runs import BUDGET, CONTROLS, COUNTED, FAMILIES, POLYNOMIALS, SEEDS, SOFTMAX, Mechanism, arms, families

if TYPE_CHECKING:
    import pandas as pd

HALF = 0.5
USUAL = {"softmax": SOFTMAX, **POLYNOMIALS}
HALVED = {f"{name}, half": Mechanism(each.label, {"init_norm": HALF}) for name, each in USUAL.items()}
ARMS = {**USUAL, **HALVED, **CONTROLS}


def query(table: pd.DataFrame) -> pd.DataFrame:
    return families(table, ARMS, FAMILIES, init_norm=(1.0, HALF))


def decide(rows: pd.DataFrame) -> Decision:
    rows, why = telling(rows)
    if rows.empty:
        return "inconclusive", why
    found = {name: family(rows, f"{name}, half", name) for name in USUAL}
    said = f"half the norm is ahead by: {'; '.join(told(name, of) for name, of in found.items())}."
    return combined(map(differs, found.values())), f"{said} {why}".rstrip()


CLAIM = Claim(
    statement="The norm of W_Q and W_K at the start decides what is learnt, for polynomial attention and for softmax.",
    quote="… softmax's effectiveness lies in its implicit regularization of the Frobenius norm of the attention matrix, which stabilizes "
    "training.",
    citation="Saratchandran, Zheng, Ji, Zhang, Lucey 2024, Rethinking Attention: Polynomial Alternatives to Softmax in Transformers",
    source="arXiv 2410.18613 v3",
    evaluated="The scale of the activation, fixed or learned; not the norm of the weights at the start, which the paper's premise raises.",
    rule=f"{COUNTED} Residual models, with W_Q and W_K as they start and times {HALF:g}. For each of the families {', '.join(FAMILIES)}, "
    f"the mean over its tasks of the difference in the test metric in units of a margin: {MARGINS['accuracy']:g} of accuracy, "
    f"{MARGINS['bits_per_byte']:g} bits per byte. It matters to a mechanism where the two surely differ by more than a margin, whichever "
    "is better, at 5 % for both sides, by Welch's test; not, where they surely differ by less. Reproduced: to softmax, x³/√N and x² with a "
    "learned scale in every family. Partly: to some of them, in some, or surely and not surely by a margin. Not reproduced: to none in "
    "any. "
    f"{TELLING}",
    power=power_of_differs(SEEDS, [len(tasks) for tasks in FAMILIES.values()], len(USUAL)),
    arms=tuple(arm for part, tasks in FAMILIES.items() for arm in arms(ARMS, places=len(tasks), part=part)),
    query=query,
    decide=decide,
    apart=(BUDGET,),
    question=True,
)
