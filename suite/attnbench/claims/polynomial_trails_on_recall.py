"""Our question: is polynomial attention, which no normalisation makes sharp, behind softmax attention at pointing to one token?"""

from __future__ import annotations

from attnbench.claim import Claim
from attnbench.claims._ahead import RECALL, at_recall
from attnbench.claims._runs import COUNTED, POLYNOMIALS

CLAIM = Claim(
    statement="Polynomial attention trails softmax attention on recall.",
    quote="… certain polynomials can serve as effective substitutes for softmax, achieving strong performance across transformer "
    "applications …",
    citation="Saratchandran, Zheng, Ji, Zhang, Lucey 2024, Rethinking Attention: Polynomial Alternatives to Softmax in Transformers",
    source="arXiv 2410.18613 v3",
    evaluated="Vision, and the classification of sequences; neither causal models nor tasks that ask for one token among many.",
    rule=f"{COUNTED} {RECALL.format(form='each of its two forms, causal and not, by itself', names='x³/√N and x² with a learned scale')}",
    question=True,
    **at_recall(POLYNOMIALS),
)
