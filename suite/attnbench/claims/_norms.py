"""Norms of the attention matrices of trained models, through training, that claims bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from attnbench.claim import Verdict, join, measured
from attnbench.claims._runs import PROTOCOL, Mechanism, budgets, counted_only, tokens_of

if TYPE_CHECKING:
    import pandas as pd


def in_training(table: pd.DataFrame, curve: str, mechanisms: Mapping[str, Mechanism], **where: object) -> pd.DataFrame:
    """A row for each run of a mechanism and each layer: the largest number of a curve's column over √N, before training or after any epoch.

    curve: "largest_frobenius", of all heads and a few rows of validation. N: the tokens of a row of the task. mechanisms: by the name of
    the arm. The rows of a run that failed are among them, without a value. Column `budget`: see budgets.
    """
    prefix = f"curve.{curve}_layer_"
    metrics: Sequence[str] = sorted({str(name) for name in table["metric"].dropna().unique() if str(name).startswith(prefix)})
    table = counted_only(table, ["row_tokens", *metrics])
    labels = tuple(each.label for each in mechanisms.values())
    parts = []
    for budget, own, axes in budgets(table):
        asked_for = {"protocol": PROTOCOL.name, "dtype": "float32", "label": labels, **axes, **where}
        for metric in metrics or ["row_tokens"]:  # without a curve there are failed runs to see
            rows = measured(own, "task", metric, **asked_for)  # type: ignore[arg-type]
            most = [max(of, default=np.nan) / np.sqrt(n) for of, n in zip(rows["samples"], tokens_of(own, rows), strict=True)]
            parts.append(rows.assign(value=most if metrics else np.nan, budget=budget))
    rows = join(parts)
    names = {mechanism.label: name for name, mechanism in mechanisms.items()}
    place = [
        ", ".join(filter(None, (str(task), None if of != of else of))) for task, of in zip(rows["task"], rows["task_params"], strict=True)
    ]
    return rows.assign(arm=rows["label"].map(names), at=place, unit="1")


def within(rows: pd.DataFrame, bound: float) -> Verdict:
    """Whether the largest number of every seed is within a bound: "reproduced" if of all, "not reproduced" if of none."""
    most = rows.groupby("seed")["value"].max() <= bound
    return "reproduced" if most.all() else "inconclusive" if most.any() else "not reproduced"
