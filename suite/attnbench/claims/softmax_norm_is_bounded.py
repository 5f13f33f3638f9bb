"""The Frobenius norm of softmax's attention matrix is at most sqrt(N)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnbench.claim import Arm, Claim, Decision, measured

if TYPE_CHECKING:
    import pandas as pd

ROUNDING = 1e-4  # tolerance for rounding in float32, relative to the bound


def query(table: pd.DataFrame) -> pd.DataFrame:
    rows = measured(table, "kernel", "attention_frobenius", label="softmax", dtype=("float32", "float64"))
    largest = [max(of, default=np.nan) / np.sqrt(n) for of, n in zip(rows["samples"], rows["seq_len"], strict=True)]
    return rows.assign(arm="softmax", at=rows["seq_len"], value=largest)


def decide(rows: pd.DataFrame) -> Decision:
    largest = rows["value"].max()
    told = f"the largest ||A||_F of any head is {largest:.3g} √N."
    return ("reproduced" if largest <= 1 + ROUNDING else "not reproduced"), told


CLAIM = Claim(
    statement="The Frobenius norm of the softmax attention matrix is at most √N, always.",
    citation="Saratchandran, Zheng, Ji, Zhang, Lucey 2024, Rethinking Softmax: Self-Attention with Polynomial Activations, arXiv "
    "2410.18613",
    rule="Every head of every forward cell of softmax in float32 or wider, at three lengths or more. Reproduced: ||A||_F is nowhere "
    "larger than √N but for rounding. One that is, and the claim is not reproduced.",
    arms=(Arm("softmax", "seq_len", places=3, may_fail=True),),
    query=query,
    decide=decide,
    as_reported=True,
    standing="exploratory",  # the rule is younger than its data
)
