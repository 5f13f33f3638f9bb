"""The attention matrix of orthogonal self-attention is orthogonal, at every length, before training and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnbench.claim import Arm, Claim, Decision, join, measured
from attnbench.claims._norms import in_training
from attnbench.claims._power import power_of_bound
from attnbench.claims._runs import BUDGET, SEEDS, Mechanism, arms

if TYPE_CHECKING:
    import pandas as pd

START, TRAINED = "at the start", "in training"
TOLERANCE = {START: 1e-4, TRAINED: 1e-3}


def query(table: pd.DataFrame) -> pd.DataFrame:
    start = measured(table, "kernel", "orthogonality_error", variant="orthogonal", dtype=("float32", "float64"))
    worst = [max(of, default=np.nan) / np.sqrt(n) for of, n in zip(start["samples"], start["seq_len"], strict=True)]
    start = start.assign(arm="orthogonal", at=start["seq_len"], value=worst, unit="1", part=START, budget="")
    damped = [bool((params or {}).get("damping")) for params in start["params"]]
    start = start[~np.array(damped, dtype=np.bool_)]  # for with damping the matrix is not meant to be orthogonal
    trained = in_training(table, "orthogonality_error", {"orthogonal": Mechanism("orthogonal")})
    return join([start, trained.assign(at=trained["num_layers"], part=TRAINED)])


def decide(rows: pd.DataFrame) -> Decision:
    part, worst = str(rows["part"].iloc[0]), float(rows["value"].max())
    return ("reproduced" if worst <= TOLERANCE[part] else "not reproduced"), f"largest ||AᵀA - I||_F / √N of any head {worst:.1e}."


CLAIM = Claim(
    statement="The attention matrix of orthogonal self-attention is orthogonal in every run.",
    quote="In particular, OSA parametrises the attention matrix to be orthogonal via mapping a skew-symmetric matrix, formed from "
    "query-key values, through the matrix exponential.",
    citation="Zhang and Martens 2026, Orthogonal Self-Attention",
    source="arXiv 2602.05996 v1",
    evaluated="The paper has it by construction, in exact arithmetic.",
    rule=f"Every head of every forward cell in float32 or wider has ||AᵀA - I||_F of at most {TOLERANCE[START]:g} √N, at three lengths or "
    "more; and every layer of every trained model, the largest of all heads and a few rows, before training and after every epoch, at "
    f"most {TOLERANCE[TRAINED]:g} √N, at two depths or more with {SEEDS} seeds. Reproduced: both hold. Partly: one of the two. Not "
    "reproduced: neither. Cells with damping, which takes orthogonality away, are left out.",
    power=power_of_bound({START: 3 * 3, TRAINED: 2 * SEEDS}),
    arms=(
        Arm("orthogonal", "seq_len", places=3, may_fail=True, part=START),
        *arms(["orthogonal"], places=2, axis="num_layers", part=TRAINED),
    ),
    query=query,
    decide=decide,
    apart=(BUDGET,),
)
