"""In skipless stacks of softmax attention the tokens lose their rank with depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.claim import SEEDS, Arm, Claim, Decision, measured
from attnbench.claims._power import power_of_agreement

if TYPE_CHECKING:
    import pandas as pd

LOST = 0.5  # share of the effective rank after the shallowest stack, below which rank counts as lost
FALLS = 0.9  # share above which it does not count as falling
DEEP = 12


def query(table: pd.DataFrame) -> pd.DataFrame:
    rows = measured(table, "depth", "effective_rank", label="softmax", block="skipless")
    return rows.assign(arm="softmax", at=rows["num_layers"])


def decide(rows: pd.DataFrame) -> Decision:
    shallow, deep = rows["at"].min(), rows["at"].max()
    if deep < DEEP:
        return "inconclusive", f"the deepest stack has {int(deep)} layers; {DEEP} are needed."
    ranks = rows.pivot_table(index="seed", columns="at", values="value")
    share = (ranks[deep] / ranks[shallow]).dropna()
    told = (
        f"effective rank of the tokens {ranks[shallow].mean():.3g} after {int(shallow)} and {ranks[deep].mean():.3g} after {int(deep)} "
        f"layers, {share.min():.0%} to {share.max():.0%} by seed."
    )
    if (share < LOST).all():
        return "reproduced", told
    if (share >= FALLS).all():
        return "not reproduced", told
    return ("partly" if (share >= LOST).all() and (share < FALLS).all() else "inconclusive"), told


CLAIM = Claim(
    statement="In skipless stacks of softmax attention the tokens lose their rank with depth.",
    quote="Specifically, without skip connections or multi-layer perceptrons (MLPs), the output converges doubly exponentially to a rank-1 "
    "matrix.",
    citation="Dong, Cordonnier, Loukas 2021, Attention is not all you need: pure attention loses rank doubly exponentially with depth",
    source="arXiv 2103.03404 v2",
    evaluated="The paper proves it of pure attention, without skip connections and MLPs, and shows it in BERT, ALBERT and XLNet; the "
    "skipless blocks here have an MLP, which the paper says slows it down.",
    rule="Effective rank of the tokens that skipless stacks of softmax give at initialisation, at three depths or more, the deepest of "
    f"{DEEP} layers at least. Reproduced: in every seed less than {LOST:.0%} of that after the shallowest is left after the deepest. "
    f"Partly: in every seed less than {FALLS:.0%}, and in none less than {LOST:.0%}. Not reproduced: in none less than {FALLS:.0%}.",
    power=power_of_agreement(SEEDS),
    arms=(Arm("softmax", "num_layers", places=3),),
    query=query,
    decide=decide,
    apart=("batch_size", "num_heads", "head_dim", "seq_len", "mode", "causal"),
)
