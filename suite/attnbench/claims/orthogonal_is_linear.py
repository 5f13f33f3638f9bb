"""Orthogonal self-attention takes time and memory linear in seq_len, where softmax takes quadratic time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnbench.claim import Arm, Claim, Decision, Verdict, combined, join, measured
from attnbench.claims._power import power_of_growth
from attnbench.stats import Exponent, between_processes, exponent, locations, median_variance, medians

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
    ours = combined(_below(slope) for arm, slope in slopes.items() if arm.startswith("orthogonal"))
    softmax = combined(_below(slope) for arm, slope in slopes.items() if arm.startswith("softmax"))
    if ours == "reproduced" and softmax != "not reproduced":
        return ("inconclusive" if softmax == "inconclusive" else "partly"), f"{told}."
    return ours, f"{told}."


def _below(slope: Exponent) -> Verdict:
    """Whether an exponent is surely that of a linear cost."""
    return "reproduced" if slope.high < BETWEEN else "not reproduced" if slope.low > BETWEEN else "inconclusive"


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
    quote="… resulting in the computational complexity and memory cost of OSA scaling linearly with sequence length.",
    citation="Zhang and Martens 2026, Orthogonal Self-Attention",
    source="arXiv 2602.05996 v1",
    evaluated="The paper derives the costs from the low rank of the skew-symmetric matrix; it trains on MNIST alone, at one length.",
    rule=f"Exponents over the {LENGTHS} longest lengths of each, of medians over three processes, forward and training, with the noise "
    f"between processes. Reproduced: the 95 % intervals of all times and peak memories of orthogonal lie below {BETWEEN:g}, and those of "
    "the times of softmax above. Not reproduced: all of orthogonal lie above. Partly: some lie below and some above, or those of softmax "
    "lie below too.",
    power=power_of_growth(
        "times follow a power law, of which three processes are measured, that spread about it",
        [2.0**place for place in range(LENGTHS)],
        between=BETWEEN,
        away=0.5,
        exponents=len(TIME) * len(MODES),
        errors={spread: spread * float(median_variance(np.array([3]))[0]) ** 0.5 for spread in (0.02, 0.1)},
        is_known=True,
    ),
    arms=_arms(),
    query=query,
    decide=decide,
    apart=("timing", "batch_size", "num_heads", "head_dim"),
)
