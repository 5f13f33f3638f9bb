"""Polynomial attention learns about as well as softmax attention, or better, on images of 196 patches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.claim import Claim, Decision, combined
from attnbench.claims._findings import matches, power_text, told
from attnbench.claims._leads import MARGINS, family
from attnbench.claims._runs import COUNTED, FAMILIES, POLYNOMIALS, SEEDS, SOFTMAX, arms, families

if TYPE_CHECKING:
    import pandas as pd

PART = "vision"


def query(table: pd.DataFrame) -> pd.DataFrame:
    return families(table, {"softmax": SOFTMAX, **POLYNOMIALS}, [PART])


def decide(rows: pd.DataFrame) -> Decision:
    found = {arm: family(rows, arm, "softmax") for arm in POLYNOMIALS}
    return combined(map(matches, found.values())), f"ahead of softmax: {'; '.join(told(arm, of) for arm, of in found.items())}."


CLAIM = Claim(
    statement="Polynomial attention is comparable to or better than softmax attention on vision.",
    quote="… certain polynomials can serve as effective substitutes for softmax, achieving strong performance across transformer "
    "applications …; in v1: … perform comparably or better than softmax across various computer vision and language tasks …",
    citation="Saratchandran, Zheng, Ji, Zhang, Lucey 2024, Rethinking Attention: Polynomial Alternatives to Softmax in Transformers",
    source="arXiv 2410.18613 v3",
    evaluated="As reported, ImageNet-1k with ViT, DeiT, Swin and XCiT: x³/14 wins or ties 5 of 8, and loses on DeiT.",
    rule=f"{COUNTED} Residual models. mnist and fashion_mnist in 196 patches, where 1/√N is the paper's own 1/14. The mean over both of "
    f"the difference in test accuracy, each in units of its margin, {MARGINS['accuracy']:g}. Reproduced: both x³/√N and x² with a learned "
    "scale are surely behind softmax by less than the margin, if at all, at 5 %, one-sided, by Welch's test. Partly: one of them is, and "
    "the other surely behind by more. Not reproduced: both are surely behind by more.",
    power=power_text(SEEDS, tasks=len(FAMILIES[PART])),
    arms=arms(("softmax", *POLYNOMIALS), places=len(FAMILIES[PART])),
    query=query,
    decide=decide,
)
