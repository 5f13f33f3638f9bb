"""The attention matrix of orthogonal self-attention is orthogonal, at every length, before training and after."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from attnbench import registry
from attnbench.claim import Arm, Claim, Decision, join, measured
from attnbench.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd

NORM = "curve.attention_frobenius_layer_"
START, TRAINED = "at the start", "in training"
TOLERANCE = {START: 1e-4, TRAINED: 1e-3}


def query(table: pd.DataFrame) -> pd.DataFrame:
    start = measured(table, "kernel", "orthogonality_error", variant="orthogonal", dtype=("float32", "float64"))
    worst = [max(of, default=np.nan) / np.sqrt(n) for of, n in zip(start["samples"], start["seq_len"], strict=True)]
    parts = [start.assign(arm=START, at=start["seq_len"], value=worst)]
    lengths = _tokens({str(task) for task in table["task"].dropna().unique()})
    for metric in sorted({str(name) for name in table["metric"].dropna().unique() if str(name).startswith(NORM)}):
        rows = measured(table, "task", metric, variant="orthogonal", dtype="float32", task=tuple(lengths))
        off = [
            max((abs(x / np.sqrt(lengths[task]) - 1) for x in of), default=np.nan)
            for of, task in zip(rows["samples"], rows["task"], strict=True)
        ]
        parts.append(rows.assign(arm=TRAINED, at=rows["num_layers"], value=off))
    rows = join(parts).assign(unit="1")
    damped = [bool((params or {}).get("damping")) for params in rows["params"]]
    return rows[~np.array(damped, dtype=np.bool_)]  # for with damping the matrix is not meant to be orthogonal


def _tokens(tasks: set[str]) -> dict[str, int]:
    """The number of tokens that the models of each task see, for the tasks that are registered here."""
    found = {}
    for name in sorted(tasks & set(registry.names("tasks"))):
        with suppress(BadInput):  # of a plug-in that cannot be imported here it is not known
            found[name] = registry.field("tasks", name, "seq_len")
    return found


def decide(rows: pd.DataFrame) -> Decision:
    worst = {arm: float(rows[rows["arm"] == arm]["value"].max()) for arm in (START, TRAINED)}
    told = f"largest ||AᵀA - I||_F / √N {worst[START]:.1e}; in training ||A||_F is never further than {worst[TRAINED]:.1e} from √N."
    return ("reproduced" if all(worst[arm] <= TOLERANCE[arm] for arm in worst) else "not reproduced"), told


CLAIM = Claim(
    statement="The attention matrix of orthogonal self-attention is orthogonal in every run.",
    citation="Zhang and Martens 2026, Orthogonal Self-Attention, arXiv 2602.05996",
    rule=f"Every head of every forward cell in float32 or wider has ||AᵀA - I||_F of at most {TOLERANCE[START]:g} √N, at three lengths or "
    f"more; and in no layer of any trained model, at the start or after any epoch, is ||A||_F further than {TOLERANCE[TRAINED]:g} from √N, "
    "its value for an orthogonal matrix, in relation to it, at two depths or more. One that does not hold, and the claim is not "
    "reproduced. Cells with damping, which takes orthogonality away, are left out.",
    arms=(Arm(START, "seq_len", places=3, may_fail=True), Arm(TRAINED, "num_layers", places=2, may_fail=True)),
    query=query,
    decide=decide,
    standing="exploratory",  # the rule is younger than its data
)
