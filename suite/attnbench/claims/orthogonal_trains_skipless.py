"""Without skips and normalisation, orthogonal self-attention trains at depth about as well as the residual model; softmax does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.claim import Claim, Decision, Verdict, combined, join
from attnbench.claims._findings import told
from attnbench.claims._leads import LEARNT, difference, learnt
from attnbench.claims._power import power_of_share
from attnbench.claims._runs import BUDGET, COUNTED, DECAYS, SEEDS, SOFTMAX, Mechanism, On, arms, runs
from attnbench.stats.difference import LEVEL

if TYPE_CHECKING:
    import pandas as pd

KEPT = 0.9  # share of the residual model's accuracy above chance that must be kept
LEAST = LEARNT["accuracy"]  # above chance, of a residual model that can be compared with
FROM = 6  # layers; shallower stacks do not count
RESIDUAL, OURS, THEIRS = "softmax, residual", "orthogonal, skipless", "softmax, skipless"
TASKS = (On("mnist"), On("fashion_mnist"))


def query(table: pd.DataFrame) -> pd.DataFrame:
    rows = join(
        [
            runs(table, {RESIDUAL: SOFTMAX}, TASKS, block="residual", weight_decay=DECAYS),
            runs(table, {OURS: Mechanism("orthogonal"), THEIRS: SOFTMAX}, TASKS, block="skipless", weight_decay=DECAYS),
        ]
    )
    return rows.assign(at=rows["num_layers"])[(rows["num_layers"] >= FROM).to_numpy()]


def decide(rows: pd.DataFrame) -> Decision:
    depths = sorted(set.intersection(*(set(rows[rows["arm"] == arm]["at"]) for arm in (RESIDUAL, OURS, THEIRS))))
    if len(depths) < 2:
        return "inconclusive", "fewer than two depths have all three."
    at = {depth: rows[(rows["at"] == depth).to_numpy()] for depth in depths}
    if not all(learnt(own, RESIDUAL) for own in at.values()):
        return "inconclusive", f"the residual model does not reach {LEAST:g} above chance, so that there is nothing to keep."
    ours = combined(_ours(own) for own in at.values())
    theirs = difference(at[depths[-1]], THEIRS, RESIDUAL, KEPT)
    said = [told(f"{OURS}, {int(depth)} layers", difference(own, OURS, RESIDUAL, KEPT), "above") for depth, own in at.items()]
    said.append(told(f"{THEIRS}, {int(depths[-1])} layers", theirs, f"above {KEPT:.0%} of what the residual model learns"))
    if ours == "reproduced" and not theirs.p_below() < LEVEL:
        return ("partly" if theirs.p_above() < LEVEL else "inconclusive"), f"{'; '.join(said)}."
    return ours, f"{'; '.join(said)}."


def _ours(rows: pd.DataFrame) -> Verdict:
    """Whether orthogonal keeps enough at one depth."""
    kept = difference(rows, OURS, RESIDUAL, KEPT)
    if kept.p_above() < LEVEL:
        return "reproduced"
    if kept.p_below() >= LEVEL:
        return "inconclusive"
    return "partly" if difference(rows, OURS, THEIRS).p_above() < LEVEL else "not reproduced"


CLAIM = Claim(
    statement="Skipless and norm-free, orthogonal self-attention trains at depth, close to the residual model; softmax attention does not.",
    quote="… in order to allow for (non-causal) Transformers without skip connections and normalisation layers to be more easily trained.",
    citation="Zhang and Martens 2026, Orthogonal Self-Attention",
    source="arXiv 2602.05996 v1",
    evaluated="A ViT on MNIST; as reported, skipless orthogonal attention comes close to the 97.2 % of the model with skips, and skipless "
    "softmax to 94.6 %.",
    rule=f"{COUNTED} Test accuracy above chance of skipless models against {KEPT:.0%} of that of the residual softmax model of the same "
    f"depth, at two depths or more from {FROM} layers on, by Welch's test at 5 %. Reproduced: that of orthogonal is surely above at every "
    "depth, and that of softmax surely below at the deepest. Partly: that of softmax is above too; or orthogonal is surely below and "
    "surely better than skipless softmax; or depths disagree, or weight decays, of which 0.05, 0 and 0.1 are judged apart. Not reproduced: "
    f"at every depth surely below, and not surely better. Residual models that reach less than {LEAST:g} above chance decide nothing.",
    power=power_of_share(SEEDS, KEPT, depths=2),
    arms=arms((RESIDUAL, OURS, THEIRS), places=2, axis="num_layers"),
    query=query,
    decide=decide,
    apart=("task", "data", BUDGET, "weight_decay", "batch_size", "num_heads", "head_dim", "causal"),
)
