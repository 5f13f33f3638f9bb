"""Our question: does damping, which takes orthogonality away from an orthogonal attention, make deep skipless models worse?"""

from __future__ import annotations

from attnbench.claim import Claim
from attnbench.claims._ahead import DEEP, LEAST, SURELY, in_deep_skipless
from attnbench.claims._runs import COUNTED, Mechanism

UNDAMPED, DAMPED = "orthogonal_cayley", "orthogonal_cayley, damping 1"

CLAIM = Claim(
    statement="Damping an orthogonal attention, so that its singular values fall below one, makes deep skipless models worse.",
    quote="R_g = cay(K - g I), g = g0 / L, with singular values in [(1 - g/2) / (1 + g/2), 1]",
    citation="Miglior, Gravina, Bacciu 2026, on an orthogonal attention by the Cayley transform (SGT)",
    source="arXiv 2609.39739, version not noted",
    evaluated="Models of up to 32 layers with a value map that stays orthogonal and a scaled residual round the MLP; at 32 layers softmax "
    "collapses where the undamped keeps improving, at 8 it loses on one set.",
    rule=f"{COUNTED} Skipless models of {DEEP} layers on mnist. Reproduced: orthogonal_cayley is surely ahead of the same with damping 1 "
    f"{SURELY}. Partly: surely ahead, not surely by the margin. Not reproduced: surely ahead by less, if at all. Where neither reaches "
    f"{LEAST:g} above chance nothing is decided.",
    as_reported=True,
    question=True,
    **in_deep_skipless(UNDAMPED, {UNDAMPED: Mechanism("orthogonal_cayley"), DAMPED: Mechanism("orthogonal_cayley(damping=1)")}),
)
