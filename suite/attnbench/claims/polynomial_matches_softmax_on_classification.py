"""Polynomial attention learns about as well as softmax attention, or better, at classifying sequences."""

from __future__ import annotations

from attnbench.claim import Claim
from attnbench.claims._leads import MARGINS
from attnbench.claims._polynomials import REPRODUCED, against
from attnbench.claims._runs import COUNTED, SOFTMAX

CLAIM = Claim(
    statement="Polynomial attention is comparable to or better than softmax attention on classifying sequences.",
    evaluated="As reported, language stands for Long Range Arena, of whose five tasks of classification the polynomial wins two.",
    rule=f"{COUNTED} Residual models. sotu_era, a classification of texts. The difference in test accuracy against a margin of "
    f"{MARGINS['accuracy']:g}. {REPRODUCED}",
    **against("softmax", SOFTMAX, ["sequence classification"]),
)
