"""Our question: does polynomial attention learn a language of bytes about as well as softmax attention?"""

from __future__ import annotations

from attnbench.claim import Claim
from attnbench.claims._leads import MARGINS
from attnbench.claims._polynomials import REPRODUCED, against
from attnbench.claims._runs import COUNTED, SOFTMAX

CLAIM = Claim(
    statement="Polynomial attention is comparable to or better than softmax attention at guessing masked bytes of a text.",
    evaluated="Nothing like it: the paper has no language model, and as reported neither masking nor causal decoding.",
    rule=f"{COUNTED} Residual models. sotu_mlm, masked bytes. The difference in test bits per byte against a margin of "
    f"{MARGINS['bits_per_byte']:g}. {REPRODUCED}",
    question=True,
    **against("softmax", SOFTMAX, ["byte language"]),
)
