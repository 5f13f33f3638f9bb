"""The Frobenius norm of softmax's attention matrix is at most sqrt(N), at the start and in training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnbench.claim import Arm, Claim, Decision, join, measured
from attnbench.claims._norms import in_training
from attnbench.claims._power import power_of_bound
from attnbench.claims._runs import BUDGET, SEEDS, SOFTMAX, arms

if TYPE_CHECKING:
    import pandas as pd

ROUNDING = 1e-4  # tolerance for rounding in float32, relative to the bound
START, TRAINED = "at the start", "in training"


def query(table: pd.DataFrame) -> pd.DataFrame:
    rows = measured(table, "kernel", "attention_frobenius", label="softmax", dtype=("float32", "float64"))
    largest = [max(of, default=np.nan) / np.sqrt(n) for of, n in zip(rows["samples"], rows["seq_len"], strict=True)]
    start = rows.assign(arm="softmax", at=rows["seq_len"], value=largest, part=START, budget="")
    trained = in_training(table, "largest_frobenius", {"softmax": SOFTMAX}, block="residual")
    return join([start, trained.assign(part=TRAINED)])


def decide(rows: pd.DataFrame) -> Decision:
    largest = rows["value"].max()
    told = f"the largest ||A||_F of any head is {largest:.3g} √N."
    return ("reproduced" if largest <= 1 + ROUNDING else "not reproduced"), told


CLAIM = Claim(
    statement="The Frobenius norm of the softmax attention matrix is at most √N, always.",
    quote="‖softmax(A)‖_F ≤ √N",
    citation="Saratchandran, Zheng, Ji, Zhang, Lucey 2024, Rethinking Attention: Polynomial Alternatives to Softmax in Transformers",
    source="arXiv 2410.18613 v3",
    evaluated="The paper proves it, as rows of positive numbers that add up to one have a norm of at most 1; what it shows of trained "
    "models is not known to us.",
    rule="Every head of every forward cell of softmax in float32 or wider, at three lengths or more; and of every layer of trained "
    f"residual models of two tasks or more, of all heads and a few rows, before training and after every epoch, with {SEEDS} seeds. "
    "Reproduced: ||A||_F is nowhere larger than √N but for rounding. Partly: it is in one of the two parts only. Not reproduced: it is in "
    "both.",
    power=power_of_bound({START: 3 * 3, TRAINED: 2 * SEEDS}),
    arms=(Arm("softmax", "seq_len", places=3, may_fail=True, part=START), *arms(["softmax"], places=2, part=TRAINED)),
    query=query,
    decide=decide,
    apart=(BUDGET,),
    as_reported=True,
)
