"""Orthogonal self-attention takes time and memory linear in seq_len, where softmax takes quadratic time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnbench.claim import Arm, Claim, Decision, join, measured
from attnbench.stats import Exponent, between_processes, exponent, locations, medians

if TYPE_CHECKING:
    import pandas as pd

LENGTHS = 5  # the longest ones, as in the tables of growth: at short ones fixed costs hide how time grows
BETWEEN = 1.5  # exponents below count as linear, above as quadratic
MODES = ("forward", "training")
TIME = {"orthogonal": "linear", "softmax": "quadratic"}


def _arms() -> tuple[Arm, ...]:
    times = [Arm(f"{variant}, {mode} time", "seq_len", places=LENGTHS, may_fail=variant == "softmax") for variant in TIME for mode in MODES]
    return (*times, *(Arm(f"orthogonal, {mode} memory", "seq_len", places=LENGTHS) for mode in MODES))


def query(table: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for mode in MODES:
        for label in TIME:
            rows = measured(table, "kernel", f"{mode}_s", by_timing=True, label=label, mode=mode, causal=False)
            parts.append(rows.assign(arm=f"{label}, {mode} time"))
        rows = measured(table, "kernel", "peak_memory_bytes", by_timing=True, label="orthogonal", mode=mode, causal=False)
        parts.append(rows.assign(arm=f"orthogonal, {mode} memory"))
    rows = join(parts)
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
    """The slope over the longest lengths: of times by the model of processes, each seed being one; of bytes, which are counted, exactly."""
    lengths = sorted(set(rows["at"]))[-LENGTHS:]
    rows = rows[rows["at"].isin(lengths).to_numpy()]
    if rows["unit"].iloc[0] == "B":
        return exponent(lengths, rows.groupby("at")["value"].median().tolist())
    cells = np.searchsorted(lengths, rows["at"].to_numpy())
    given = medians(rows["samples"].tolist())
    found = locations(given, cells, len(lengths), between_processes(given, cells))
    return exponent(lengths, np.exp(found.log).tolist(), found.variance.tolist())


CLAIM = Claim(
    statement="Orthogonal self-attention takes time and memory linear in seq_len; softmax attention takes quadratic time.",
    citation="Zhang and Martens 2026, Orthogonal Self-Attention, arXiv 2602.05996",
    rule=f"Exponents over the {LENGTHS} longest lengths of each, of medians over three processes, forward and training, with the noise "
    f"between processes. Reproduced: the 95 % intervals of all times and peak memories of orthogonal lie below {BETWEEN:g}, and those of "
    "the times of softmax above. Not reproduced: one lies wholly on the other side.",
    arms=_arms(),
    query=query,
    decide=decide,
    apart=("timing", "batch_size", "num_heads", "head_dim"),
    standing="exploratory",  # the rule is younger than its data
)
