"""Polynomial attention learns about as well as softmax attention, or better, on vision and on language tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnbench.claim import BENCH, SEEDS, Arm, Claim, Decision, join, measured
from attnbench.stats import Interval, mean_interval
from attnbench.store.metrics import higher_is_better

if TYPE_CHECKING:
    import pandas as pd

LABELS = ("polynomial", "softmax")
KINDS = {
    "vision": ("mnist", "fashion_mnist", "digits", "cifar10"),
    "language": ("sotu_era", "sotu_mlm", "sotu_lm", "imdb", "ag_news", "wikitext"),
}
MARGINS = {"accuracy": 0.02, "bits_per_byte": 0.1}  # most by which the polynomial may be behind and still count as comparable
LEVEL = 0.05
RECIPE = ("num_layers", "epochs", "rate", "batch_size", "num_heads", "head_dim", "causal")


def query(table: pd.DataFrame) -> pd.DataFrame:
    """By how much the polynomial is ahead of softmax, for each seed, in units of the margin: at -1 it is behind by the whole margin.

    If a task has several recipes, the one with most seeds counts, then the longest training, then the deepest model. A task for which not
    both mechanisms have enough seeds stays in the table without a value.
    """
    parts = []
    for kind, tasks in KINDS.items():
        for metric, margin in MARGINS.items():
            rows = measured(table, "task", metric, label=LABELS, block="residual", task=tasks).assign(arm=kind, metric=metric)
            rows = rows.assign(at=[f"{task} ({data})" for task, data in zip(rows["task"], rows["data"], strict=True)], unit=f"{margin:g}")
            for _, of_task in rows.groupby([*BENCH, "at"], dropna=False, sort=False):
                parts.append(_differences(of_task, (1.0 if higher_is_better(metric) else -1.0) / margin))
    return join(parts or [rows])


def _differences(rows: pd.DataFrame, factor: float) -> pd.DataFrame:
    """A row for each seed that both mechanisms have in the task's best recipe; one row without a value where they are too few."""
    best = None
    for recipe, own in rows.groupby(list(RECIPE), dropna=False, sort=True):
        values = own.dropna(subset=["value"]).pivot_table(index="seed", columns="label", values="value")
        paired = values.dropna() if set(LABELS) <= set(values.columns) else values[:0]
        rank = (min(len(paired), SEEDS), recipe[1], recipe[0], len(paired))
        if best is None or rank > best[0]:
            best = rank, own, paired
    assert best is not None
    _, own, paired = best
    if len(paired) < SEEDS or own["value"].isna().any():
        failed = own[own["value"].isna().to_numpy()]
        first = (failed if len(failed) else own)[:1]
        return first.assign(value=np.nan, status=first["status"] if len(failed) else "too few seeds")
    ahead = factor * (paired["polynomial"] - paired["softmax"])
    mine = own[(own["label"] == "polynomial").to_numpy() & own["seed"].isin(paired.index).to_numpy()]
    return mine.assign(value=mine["seed"].map(ahead))


def decide(rows: pd.DataFrame) -> Decision:
    level = 1 - LEVEL / rows["at"].nunique()  # Bonferroni: all intervals together hold at 95 %
    ahead = {str(at): mean_interval(own["value"].tolist(), level) for at, own in rows.groupby("at")}
    units = rows.drop_duplicates("at").set_index("at")["metric"]
    told = "; ".join(_told(at, interval, units[at]) for at, interval in ahead.items())
    if any(i.high < -1 for i in ahead.values()):
        worse = ", ".join(at.split(" (")[0] for at, i in ahead.items() if i.high < -1)
        return "not reproduced", f"polynomial is behind by more than the margin on {worse}. {told}."
    if all(i.low >= -1 for i in ahead.values()):
        return "reproduced", f"{told}."
    open_ = ", ".join(at.split(" (")[0] for at, i in ahead.items() if i.low < -1)
    return "inconclusive", f"more seeds are needed on {open_}. {told}."


def _told(task: str, ahead: Interval, metric: str) -> str:
    margin = MARGINS[metric]
    half = margin * (ahead.high - ahead.low) / 2
    words = "ahead" if ahead.value >= 0 else "behind"
    return f"{task.split(' (')[0]}: {words} by {abs(margin * ahead.value):.3f} ± {half:.3f} {metric.replace('_', ' ')}"


CLAIM = Claim(
    statement="Polynomial attention (x³/√N) is comparable to or better than softmax attention on vision and on language tasks.",
    citation="Saratchandran, Zheng, Ji, Zhang, Lucey 2024, Rethinking Softmax: Self-Attention with Polynomial Activations, arXiv "
    "2410.18613",
    rule="Difference of the test metric in residual models, paired by seed, each mechanism at the rate that its validation part chose, on "
    "every vision and language task that either was run on, at least one of either kind; of several recipes of a task the one with most "
    "seeds, then the longest. The margin is 0.02 of accuracy or 0.1 bits per byte. Reproduced: on every task the interval lies above minus "
    "the margin. Not reproduced: on one it lies wholly below. Intervals are Student's, 95 % for all tasks together.",
    arms=(Arm("vision", "task", places=1), Arm("language", "task", places=1)),
    query=query,
    decide=decide,
    standing="exploratory",  # the rule is younger than its data
)
