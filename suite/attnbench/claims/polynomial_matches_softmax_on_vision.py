"""Polynomial attention learns about as well as softmax attention, or better, on images of 196 patches."""

from __future__ import annotations

from attnbench.claim import Claim
from attnbench.claims._leads import MARGINS
from attnbench.claims._polynomials import REPRODUCED, against
from attnbench.claims._runs import COUNTED, SOFTMAX

CLAIM = Claim(
    statement="Polynomial attention is comparable to or better than softmax attention on vision.",
    evaluated="As reported, ImageNet-1k with ViT, Swin and XCiT: x³/14 wins or ties 5 of 8 and loses on DeiT; also detection and "
    "segmentation.",
    rule=f"{COUNTED} Residual models. mnist and fashion_mnist in 196 patches, where 1/√N is the paper's own 1/14. The mean over both of "
    f"the difference in test accuracy, each in units of its margin, {MARGINS['accuracy']:g}. {REPRODUCED}",
    **against("softmax", SOFTMAX, ["vision"]),
)
