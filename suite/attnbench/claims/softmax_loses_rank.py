"""In skipless stacks of softmax attention the tokens lose their rank with depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.claim import Arm, Claim, Decision, measured

if TYPE_CHECKING:
    import pandas as pd

LOST = 0.5  # share of the effective rank after the shallowest stack, below which rank counts as lost
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
    return ("not reproduced" if (share >= LOST).all() else "inconclusive"), told


CLAIM = Claim(
    statement="In skipless stacks of softmax attention the tokens lose their rank with depth.",
    citation="Dong, Cordonnier, Loukas 2021, Attention is not all you need: pure attention loses rank doubly exponentially with depth, "
    "arXiv 2103.03404",
    rule=f"Effective rank of the tokens that skipless stacks of softmax give at initialisation, at three depths or more, the deepest of "
    f"{DEEP} layers at least. Reproduced: in every seed less than {LOST:.0%} of that after the shallowest is left after the deepest. Not "
    "reproduced: in none.",
    arms=(Arm("softmax", "num_layers", places=3),),
    query=query,
    decide=decide,
    apart=("batch_size", "num_heads", "head_dim", "seq_len", "mode", "causal"),
    standing="exploratory",  # the rule is younger than its data
)
