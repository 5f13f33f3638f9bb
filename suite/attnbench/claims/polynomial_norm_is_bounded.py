"""x^3 scaled by 1/sqrt(N) keeps the norm of the attention matrix O(sqrt(N)) at initialisation; without the scale it grows faster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnbench.claim import SEEDS, Arm, Claim, Decision, join, measured
from attnbench.claims._power import power_of_growth
from attnbench.stats import exponent

if TYPE_CHECKING:
    import pandas as pd

SCALED, UNSCALED = "x³/√N", "x³"
ARMS = {SCALED: "polynomial", UNSCALED: "polynomial(scale=1)"}
BETWEEN = 0.75  # exponents below are nearer to N^(1/2), above nearer to N


def query(table: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for arm, label in ARMS.items():
        rows = measured(table, "kernel", "attention_frobenius", label=label, causal=False)
        mean = [np.mean(of) if of else np.nan for of in rows["samples"]]
        parts.append(rows.assign(arm=arm, at=rows["seq_len"], value=mean))
    return join(parts)


def decide(rows: pd.DataFrame) -> Decision:
    if rows["value"].min() <= 0:
        return "inconclusive", "a norm is 0, which has no logarithm."
    slopes = {}
    for arm, own in rows.groupby("arm"):
        means = own.groupby("at")["value"].mean()
        slopes[str(arm)] = exponent(means.index.tolist(), means.tolist())
    told = "; ".join(f"||A||_F of {arm} grows as N^{s.value:.2f} [{s.low:.2f}, {s.high:.2f}]" for arm, s in slopes.items())
    scaled, unscaled = slopes[SCALED], slopes[UNSCALED]
    if scaled.high < BETWEEN < unscaled.low:
        return "reproduced", f"{told}."
    if scaled.low > BETWEEN:
        return "not reproduced", f"{told}."
    if scaled.high < BETWEEN and unscaled.high < BETWEEN:
        return "partly", f"{told}."
    return "inconclusive", f"{told}; an interval reaches over {BETWEEN:g}."


CLAIM = Claim(
    statement="Scaled by 1/√N, the activation x³ keeps ||A||_F = O(√N) at initialisation; without the scale it does not.",
    quote="‖φ(A)‖_F is O(√N) for φ(x) = x^p / √N, elementwise, and i.i.d. Gaussian inputs.",
    citation="Saratchandran, Zheng, Ji, Zhang, Lucey 2024, Rethinking Attention: Polynomial Alternatives to Softmax in Transformers",
    source="arXiv 2410.18613 v3",
    evaluated="The paper proves it in expectation; proofs are reported to be of matrix powers, and its experiments of elementwise ones.",
    rule=f"Exponents of ||A||_F in N for queries and keys of unit variance, of means over heads and {SEEDS} seeds, at three lengths or "
    f"more. Reproduced: the 95 % interval of x³/√N lies below {BETWEEN:g}, and that of x³ above. Partly: both lie below. Not reproduced: "
    "that of x³/√N lies above.",
    power=power_of_growth(
        f"norms follow a power law, of which {SEEDS} seeds are averaged, that spread about it",
        (256, 1024, 4096),
        between=BETWEEN,
        away=0.25,
        exponents=len(ARMS),
        errors={spread: spread / SEEDS**0.5 for spread in (0.01, 0.05)},
        is_known=False,
    ),
    arms=(Arm(SCALED, "seq_len", places=3), Arm(UNSCALED, "seq_len", places=3)),
    query=query,
    decide=decide,
    apart=("batch_size", "num_heads", "head_dim"),
    as_reported=True,
)
