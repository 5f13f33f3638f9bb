"""Our question: is polynomial attention as good as sigmoid attention, also without a softmax, under one protocol?"""

from __future__ import annotations

from attnbench.claim import Claim
from attnbench.claims._leads import MARGINS, TELLING
from attnbench.claims._polynomials import against
from attnbench.claims._runs import COUNTED, FAMILIES, Mechanism

CLAIM = Claim(
    statement="Polynomial attention is comparable to or better than sigmoid attention, the other activation in place of softmax.",
    evaluated="Polynomials against softmax attention; other activations without a softmax under the same protocol are no part of it.",
    rule=f"{COUNTED} Residual models. For each of the families {', '.join(FAMILIES)}, the mean over its tasks of the difference in the "
    f"test metric in units of a margin: {MARGINS['accuracy']:g} of accuracy, {MARGINS['bits_per_byte']:g} bits per byte. Of a family it is "
    "reproduced where both x³/√N and x² with a learned scale are surely behind sigmoid by less than the margin, if at all, at 5 %, "
    "one-sided, by Welch's test, and not reproduced where both are surely behind by more. Partly: one of them is, or families disagree. "
    f"{TELLING}",
    question=True,
    **against("sigmoid", Mechanism("sigmoid"), list(FAMILIES)),
)
