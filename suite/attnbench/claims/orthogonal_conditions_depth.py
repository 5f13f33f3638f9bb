"""Orthogonal self-attention's initialisation keeps the Jacobian of skipless stacks well-conditioned, where softmax's does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.claim import SEEDS, Arm, Claim, Decision, join, measured
from attnbench.claims._power import power_of_agreement

if TYPE_CHECKING:
    import pandas as pd

WELL = 1e3  # the largest condition number that counts as well-conditioned, and the factor by which softmax's must be larger
DEEP = 12


def query(table: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for label in ("orthogonal", "softmax"):
        rows = measured(table, "depth", "jacobian_condition", label=label, block="skipless")
        parts.append(rows.assign(arm=label, at=rows["num_layers"]))
    return join(parts)


def decide(rows: pd.DataFrame) -> Decision:
    orthogonal, softmax = (rows[rows["arm"] == arm] for arm in ("orthogonal", "softmax"))
    deepest = max(set(orthogonal["at"]) & set(softmax["at"]), default=0)
    if deepest < DEEP:
        return "inconclusive", f"no depth of {DEEP} layers or more has both."
    worst = orthogonal["value"].max()
    deep = {arm: own[own["at"] == deepest].set_index("seed")["value"] for arm, own in (("orthogonal", orthogonal), ("softmax", softmax))}
    apart = (deep["softmax"] / deep["orthogonal"]).dropna()
    told = (
        f"orthogonal at most {worst:.3g} at any depth; at {int(deepest)} layers softmax {deep['softmax'].min():.3g} or more, "
        f"at least {apart.min():.3g} times as much."
    )
    if worst <= WELL and (apart >= WELL).all():
        return "reproduced", told
    if (deep["orthogonal"] > WELL).all() or (apart < WELL).all():
        if (apart > 1).all():
            return "partly", told
        if (apart <= 1).all():
            return "not reproduced", told
    return "inconclusive", f"{told} Seeds or depths disagree."


CLAIM = Claim(
    statement="The initialisation of orthogonal self-attention keeps the input-output Jacobian well-conditioned with depth, where that of "
    "softmax attention is not, in stacks without skip connections and normalisation.",
    quote="Furthermore, we derive an initialisation scheme for which we prove ensures that the Jacobian of OSA is well-conditioned.",
    citation="Zhang and Martens 2026, Orthogonal Self-Attention",
    source="arXiv 2602.05996 v1",
    evaluated="The paper proves it for its initialisation of one layer; no condition number of a whole stack is known to us from it.",
    rule="Condition numbers of the Jacobian of skipless stacks at initialisation, in float64, at three depths or more, the deepest of "
    f"{DEEP} layers at least. Reproduced: that of orthogonal is at most {WELL:,.0f} at every depth and seed, and that of softmax at least "
    f"{WELL:,.0f} times as large at the deepest in every seed. Where one of the two fails in every seed at the deepest it is partly so if "
    "that of softmax is the larger in every seed, and not reproduced if in none.",
    power=power_of_agreement(SEEDS, conditions=2),
    arms=(Arm("orthogonal", "num_layers", places=3), Arm("softmax", "num_layers", places=3)),
    query=query,
    decide=decide,
    apart=("batch_size", "num_heads", "head_dim", "seq_len", "mode", "causal"),
)
