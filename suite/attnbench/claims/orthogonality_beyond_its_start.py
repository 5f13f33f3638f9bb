"""Our question: does orthogonality help a deep skipless model once softmax starts as well, or is it the start that helps?"""

from __future__ import annotations

from attnbench.claim import Claim
from attnbench.claims._ahead import DEEP, LEAST, SURELY, in_deep_skipless
from attnbench.claims._runs import COUNTED, Mechanism

ARMS = {name: Mechanism(name) for name in ("orthogonal", "softmax_orthogonal_init", "value_skipinit", "shaped")}

CLAIM = Claim(
    statement="Orthogonality helps deep skipless models beyond what a good start of softmax attention does.",
    quote="Furthermore, we derive an initialisation scheme for which we prove ensures that the Jacobian of OSA is well-conditioned.",
    citation="Zhang and Martens 2026, Orthogonal Self-Attention",
    source="arXiv 2602.05996 v1",
    evaluated="Orthogonal attention with its start against softmax attention; whether its start alone would do is left open.",
    rule=f"{COUNTED} Skipless models of {DEEP} layers on mnist. The others are softmax attention that starts as orthogonal attention does, "
    f"Value-SkipInit and shaped attention, which start as the identity. Reproduced: orthogonal is surely ahead of each {SURELY}. Partly: "
    "surely ahead, not surely by the margin; or of some of them only. Not reproduced: surely ahead of none by the margin. Where none "
    f"reaches {LEAST:g} above chance nothing is decided.",
    question=True,
    **in_deep_skipless("orthogonal", ARMS),
)
