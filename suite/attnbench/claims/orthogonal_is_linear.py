"""Orthogonal self-attention takes time and memory linear in seq_len, where softmax takes quadratic time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.claim import Arm, Claim, Decision, join, measured
from attnbench.stats import Exponent, exponent

if TYPE_CHECKING:
    import pandas as pd

FROM = 1024  # tokens; below, fixed costs hide how time grows
BETWEEN = 1.5  # exponents below count as linear, above as quadratic
MODES = ("forward", "training")
TIME = {"orthogonal": "linear", "softmax": "quadratic"}


def _arms() -> tuple[Arm, ...]:
    times = [Arm(f"{variant}, {mode} time", "seq_len", places=4, may_fail=variant == "softmax") for variant in TIME for mode in MODES]
    return (*times, *(Arm(f"orthogonal, {mode} memory", "seq_len", places=4) for mode in MODES))


def query(table: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for mode in MODES:
        for label in TIME:
            rows = measured(table, "kernel", f"{mode}_s", label=label, mode=mode, causal=False)
            parts.append(rows.assign(arm=f"{label}, {mode} time"))
        rows = measured(table, "kernel", "peak_memory_bytes", label="orthogonal", mode=mode, causal=False)
        parts.append(rows.assign(arm=f"orthogonal, {mode} memory"))
    rows = join(parts)
    rows = rows[(rows["seq_len"] >= FROM).to_numpy()]
    return rows.assign(at=rows["seq_len"])


def decide(rows: pd.DataFrame) -> Decision:
    slopes = {str(arm): _exponent(own) for arm, own in rows.groupby("arm")}
    told = "; ".join(f"{arm} n^{s.value:.2f} [{s.low:.2f}, {s.high:.2f}]" for arm, s in slopes.items())
    linear = {arm: s for arm, s in slopes.items() if arm.startswith("orthogonal")}
    quadratic = [s for arm, s in slopes.items() if arm not in linear]
    if any(s.low > BETWEEN for s in linear.values()) or any(s.high < BETWEEN for s in quadratic):
        return "not reproduced", f"{told}."
    if all(s.high < BETWEEN for s in linear.values()) and all(s.low > BETWEEN for s in quadratic):
        return "reproduced", f"{told}."
    return "inconclusive", f"{told}; an interval reaches over {BETWEEN:g}."


def _exponent(rows: pd.DataFrame) -> Exponent:
    medians = rows.groupby("at")["value"].median()
    return exponent(medians.index.tolist(), medians.tolist())


CLAIM = Claim(
    statement="Orthogonal self-attention takes time and memory linear in seq_len; softmax attention takes quadratic time.",
    citation="Zhang and Martens 2026, Orthogonal Self-Attention, arXiv 2602.05996",
    rule=f"Exponents over at least four lengths from {FROM:,} tokens on, of medians over three seeds, forward and training. Reproduced: "
    f"the 95 % intervals of all times and peak memories of orthogonal lie below {BETWEEN:g}, and those of the times of softmax above. Not "
    "reproduced: one lies wholly on the other side.",
    arms=_arms(),
    query=query,
    decide=decide,
    apart=("batch_size", "num_heads", "head_dim"),
    standing="exploratory",  # the rule is younger than its data
)
