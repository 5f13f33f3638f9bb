"""Tables of results that refute a claim, and some that confirm one: made-up numbers in the cells of the shipped records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from attnbench import registry
from attnbench.claim import Claim


def claim(name: str) -> Claim:
    return registry.load("claims", name)  # type: ignore[no-any-return]


def one_place(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Only the longest sequences, deepest stacks, or one of the tasks."""
    axis = claim(name).arms[0].axis
    kept = {"seq_len": 4096, "num_layers": 12, "task": "mnist"}[axis]
    return table[(table[axis] == kept).to_numpy()]


def scaled(table: pd.DataFrame, variant: str, metric: str, factor: Callable[[Any], float]) -> pd.DataFrame:
    """The samples of a metric of a variant multiplied by a factor, which may depend on the row."""
    table = table.copy()
    mine = (table["variant"] == variant).to_numpy() & table["metric"].str.fullmatch(metric, na=False).to_numpy()
    rows = table[mine]
    factors = [factor(row) for row in rows.itertuples()]
    samples = pd.Series([[x * f for x in of] for of, f in zip(rows["samples"], factors, strict=True)], index=rows.index, dtype=object)
    table.loc[mine, "samples"] = samples
    table.loc[mine, "value"] = rows["value"] * factors
    return table


def swapped(table: pd.DataFrame, one: str, other: str) -> pd.DataFrame:
    """Each of two variants with the numbers of the other."""
    names = {one: other, other: one}
    params = [{} if name in names else given for name, given in zip(table["variant"], table["params"], strict=True)]
    return table.assign(variant=table["variant"].map(lambda name: names.get(name, name)), params=params)


REFUTED: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "orthogonal_conditions_depth": lambda t: scaled(t, "orthogonal", "jacobian_condition", lambda row: 1e8),
    "orthogonal_is_linear": lambda t: scaled(t, "orthogonal", "forward_s", lambda row: row.seq_len),
    "orthogonal_stays_orthogonal": lambda t: scaled(t, "orthogonal", "orthogonality_error", lambda row: 1e6 if row.seed == 1 else 1.0),
    "orthogonal_trains_skipless": lambda t: scaled(t, "orthogonal", "accuracy", lambda row: 0.3),
    "polynomial_matches_softmax": lambda t: scaled(
        scaled(t, "polynomial", "accuracy", lambda row: 0.5), "polynomial", "bits_per_byte", lambda row: 2.0
    ),
    "polynomial_norm_is_bounded": lambda t: scaled(t, "polynomial", "attention_frobenius", lambda row: row.seq_len),
    "softmax_loses_rank": lambda t: scaled(t, "softmax", "effective_rank", lambda row: row.num_layers),
    "softmax_norm_is_bounded": lambda t: scaled(t, "softmax", "attention_frobenius", lambda row: 100 if row.seed == 2 else 1.0),
}


def made(table: pd.DataFrame, variant: str, metric: str, number: Callable[[Any], float]) -> pd.DataFrame:
    """The values of a metric of a variant replaced by made-up ones."""
    return scaled(table, variant, metric, lambda row: number(row) / row.value)


def linear(table: pd.DataFrame) -> pd.DataFrame:
    """Costs of orthogonal that grow as the length, and times of softmax that grow as its square."""
    for metric in ("forward_s", "training_s", "peak_memory_bytes"):
        table = made(table, "orthogonal", metric, lambda row: 1e-6 * row.seq_len)
        table = made(table, "softmax", metric, lambda row: 1e-9 * row.seq_len**2)
    return table


CONFIRMED: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "orthogonal_is_linear": linear,
    "orthogonal_conditions_depth": lambda t: made(
        made(t, "orthogonal", "jacobian_condition", lambda row: 2.0), "softmax", "jacobian_condition", lambda row: 1e9
    ),
    "softmax_loses_rank": lambda t: made(t, "softmax", "effective_rank", lambda row: 16 / row.num_layers),
    "polynomial_matches_softmax": lambda t: scaled(
        scaled(t, "softmax", "accuracy", lambda row: 0.5), "polynomial", "bits_per_byte", lambda row: 0.4
    ),
    "orthogonal_trains_skipless": lambda t: scaled(
        scaled(t, "orthogonal", "accuracy", lambda row: 1.12), "softmax", "accuracy", lambda row: 0.5 if row.block == "skipless" else 1.0
    ),
}
