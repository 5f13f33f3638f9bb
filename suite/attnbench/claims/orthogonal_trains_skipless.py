"""Without skips and normalisation, orthogonal self-attention trains at depth about as well as the residual model; softmax does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.claim import BENCH, SEEDS, Arm, Claim, Decision, join, measured
from attnbench.stats import Interval, mean_interval

if TYPE_CHECKING:
    import pandas as pd

KEPT = 0.9  # share of the residual model's accuracy above chance that must be kept
LEARNT = 0.2  # least accuracy above chance of a residual model that can be compared with
FROM = 6  # layers; shallower stacks do not count
RESIDUAL = "softmax, residual"
SKIPLESS = {"orthogonal": "orthogonal, skipless", "softmax": "softmax, skipless"}


def query(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of accuracy, with the accuracy of always guessing the most frequent answer in the column `chance`."""
    parts = []
    for label, block, arm in (("softmax", "residual", RESIDUAL), *((name, "skipless", arm) for name, arm in SKIPLESS.items())):
        rows = measured(table, "task", "accuracy", label=label, block=block)
        chance = measured(table, "task", "majority_share", label=label, block=block).set_index("id")["value"]
        parts.append(rows.assign(arm=arm, at=rows["num_layers"], chance=rows["id"].map(chance[~chance.index.duplicated()])))
    rows = join(parts)
    rows = rows[(rows["chance"].notna() | rows["value"].isna()).to_numpy()]
    return _best_rate(rows[(rows["num_layers"] >= FROM).to_numpy()], table)


def _best_rate(rows: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of each arm's best learning rate, given or chosen: that which was best on the validation part, if it has enough seeds."""
    if rows.empty:
        return rows.assign(validation=rows["value"])
    cell = ["id", *BENCH]
    validation = measured(table, "task", "validation_accuracy").drop_duplicates(cell)[[*cell, "value"]]
    known = rows.merge(validation.rename(columns={"value": "validation"}), on=cell, how="left").fillna({"validation": -1.0})
    same = [*BENCH, *APART, "arm", "at"]
    recipes = known.groupby([*same, "rate"], dropna=False)
    mean = recipes["validation"].transform("mean").where(recipes["seed"].transform("nunique") >= SEEDS, -1.0)
    best = mean.groupby([known[name] for name in same], dropna=False).transform("max")
    return known[(mean == best).to_numpy()]


def decide(rows: pd.DataFrame) -> Decision:
    depths = sorted(set.intersection(*(set(rows[rows["arm"] == arm]["at"]) for arm in (RESIDUAL, *SKIPLESS.values()))))
    if len(depths) < 2:
        return "inconclusive", "fewer than two depths have all three."
    residual = rows[rows["arm"] == RESIDUAL]
    if ((residual["value"] - residual["chance"]) < LEARNT).any():
        return "inconclusive", f"the residual model does not reach {LEARNT:g} above chance, so that there is nothing to keep."
    kept = {(arm, depth): _kept(rows, arm, depth) for arm in SKIPLESS.values() for depth in depths}
    told = "; ".join(f"{arm} {int(d)} layers keeps {i.value:.0%} [{i.low:.0%}, {i.high:.0%}]" for (arm, d), i in kept.items())
    ours, softmax = [kept[SKIPLESS["orthogonal"], depth] for depth in depths], kept[SKIPLESS["softmax"], depths[-1]]
    if all(i.low >= KEPT for i in ours) and softmax.high < KEPT:
        return "reproduced", f"{told}."
    if any(i.high < KEPT for i in ours) or softmax.low >= KEPT:
        return "not reproduced", f"{told}."
    return "inconclusive", f"{told}; more seeds are needed to tell these from {KEPT:.0%}."


def _kept(rows: pd.DataFrame, arm: str, depth: float) -> Interval:
    """An arm's accuracy above chance as a share of that of the residual model of the same depth, over the seeds that both have."""
    here = rows[rows["at"] == depth].assign(above=rows["value"] - rows["chance"]).pivot_table(index="seed", columns="arm", values="above")
    return mean_interval((here[arm] / here[RESIDUAL]).dropna().tolist())


APART = ("task", "data", "epochs", "batch_size", "num_heads", "head_dim", "causal")
CLAIM = Claim(
    statement="Skipless and norm-free, orthogonal self-attention trains at depth, close to the residual model; softmax attention does not.",
    citation="Zhang and Martens 2026, Orthogonal Self-Attention, arXiv 2602.05996",
    rule=f"Test accuracy above chance, as a share of what the residual softmax model of the same depth reaches in as many epochs, by "
    f"seed, each at the rate that its validation part chose, at two depths or more from {FROM} layers on. Reproduced: the 95 % interval of "
    f"orthogonal lies at or above {KEPT:.0%} at every depth, and that of softmax below at the deepest. Not reproduced: one lies wholly on "
    f"the other side. Residual models that reach less than {LEARNT:g} above chance decide nothing.",
    arms=tuple(Arm(name, "num_layers", places=2) for name in (RESIDUAL, *SKIPLESS.values())),
    query=query,
    decide=decide,
    apart=APART,
    as_reported=True,
    standing="exploratory",  # the rule is younger than its data
)
