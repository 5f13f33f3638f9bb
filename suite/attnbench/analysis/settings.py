"""The rows of a frame that may stand side by side: the newest record of every cell, and the settings that are never mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from attnbench.analysis.labels import Labels, canonical
from attnbench.errors import BadInput
from attnbench.store.record import PYTEST_BENCHMARK

if TYPE_CHECKING:
    import pandas as pd

_SHARED = ("machine", "device", "dtype", "torch", "causal", "batch_size", "num_heads", "head_dim")
# What two results of a track must have in common to be compared. The machine stands for its hardware; data for source and fingerprint.
# A metric whose meaning changes gets another name, so that versions of one are never mixed either.
SETTING = {
    "kernel": (*_SHARED, "mode", "seq_len"),
    "depth": (*_SHARED, "mode", "seq_len", "block", "num_layers"),
    "task": (*_SHARED, "task", "data", "block", "num_layers", "epochs", "rate"),
}
RECORD = ("machine", "session", "id", "started_at", "duration_s", "status")  # the same in all rows of a record, and in no other's
ALONG = {"kernel": "seq_len", "depth": "num_layers"}  # the axis along which a cost grows


def comparable(table: pd.DataFrame, track: str, labels: Labels | None = None) -> pd.DataFrame:
    """The rows of a track's newest records, without tuning trials: one record for each mechanism, setting and seed; in an order of their
    own.

    What was imported from pytest-benchmark, a time alone, stands only where the cell was not measured in full. Three columns are added:
    `record`, a number for each record; `rate`, how the learning rate was come by, "3e-3" or "of 1e-3 3e-3"; and `label`, the mechanism with
    what is unusual among its parameters. labels: of a larger table that this one is a part of, so that a mechanism has one name in all
    parts.
    """
    mine = _where(table, (table["track"] == track).to_numpy() & (table["evaluate"] != "validation").to_numpy())
    record = codes(mine, RECORD)
    heads = mine.iloc[np.unique(record, return_index=True)[1]]
    rate = np.where(heads["lr_grid"].isna(), heads["lr"].map("{:g}".format), "of " + heads["lr_grid"].fillna(""))
    heads = heads.assign(record=np.arange(len(heads)), rate=rate, label=_label_of(heads, labels or labels_of(heads)))
    heads = heads.assign(imported=(heads["by"] == PYTEST_BENCHMARK).to_numpy())
    newest = ["imported", "started_at", "session", "duration_s", "status", "fingerprint"]
    ordered = heads.sort_values(newest, ascending=[False, *[True] * (len(newest) - 1)], kind="stable", na_position="first")
    same = codes(ordered, (*SETTING[track], "label", "seed"))
    kept = np.sort(ordered[_is_last(same)]["record"].to_numpy())
    place = np.full(len(heads), -1)
    place[kept] = np.arange(len(kept))
    number = place[record]
    found, number = _where(mine, number >= 0), number[number >= 0]
    heads = heads.iloc[kept]
    return found.assign(record=number, rate=heads["rate"].to_numpy()[number], label=heads["label"].to_numpy()[number])


def needed_rows(table: pd.DataFrame, rows: NDArray[np.intp], metric: str) -> NDArray[np.intp]:
    """Of some rows those of a metric, and the first of every record, which says what became of it: records have a dozen rows."""
    first = np.ones(len(rows), dtype=bool)
    first[1:] = False
    for name in RECORD:
        column = table[name].to_numpy()[rows]
        first[1:] |= column[1:] != column[:-1]
    return rows[first | (table["metric"] == metric).to_numpy()[rows]]


def _where(table: pd.DataFrame, mask: NDArray[np.bool_]) -> pd.DataFrame:
    """The rows of a mask; no copy where it is all of them."""
    return table if mask.all() else table[mask]


def labels_of(table: pd.DataFrame) -> Labels:
    """The labels of all mechanisms in a frame."""
    variants, params = table["variant"].tolist(), table["params"].tolist()
    distinct = {(variant, canonical(given) if given else "{}"): given for variant, given in zip(variants, params, strict=True)}
    return Labels([(name, given) for (name, _), given in distinct.items()], declared_params({name for name, _ in distinct}))


def _label_of(heads: pd.DataFrame, labels: Labels) -> NDArray[np.object_]:
    """The label of every record, of one row for each."""
    made: dict[tuple[str, str], str] = {}
    found = np.empty(len(heads), dtype=object)
    for place, (variant, params) in enumerate(zip(heads["variant"].tolist(), heads["params"].tolist(), strict=True)):
        key = variant, canonical(params) if params else "{}"
        if key not in made:
            made[key] = labels.label(variant, params)
        found[place] = made[key]
    return found


def _is_last(values: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whether no equal value comes later."""
    last = np.zeros(len(values), dtype=bool)
    last[len(values) - 1 - np.unique(values[::-1], return_index=True)[1]] = True
    return last


def declared_params(variants: set[str]) -> dict[str, Mapping[str, Any]]:
    """The default parameters of those variants that are registered here."""
    from attnbench import registry

    found = {}
    for name in sorted(variants & set(registry.names("variants"))):
        with suppress(BadInput):  # a plug-in that computes them and cannot be imported here: they stand as those of a stranger
            found[name] = registry.field("variants", name, "params", default={})
    return found


def codes(table: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.intp]:
    """A number for every row that is the same where some columns are; missing equals missing. The numbers have no gaps."""
    import pandas as pd

    found = np.zeros(len(table), dtype=np.intp)
    for name in columns:
        own, values = pd.factorize(table[name], use_na_sentinel=False)
        found = found * (len(values) or 1) + own
        found = pd.factorize(found)[0]  # before the product outgrows an integer
    return found


def samples_by_record(rows: pd.DataFrame, metric: str) -> dict[int, list[float]]:
    """The samples of a metric, by record; of records that have any."""
    mine = (rows["metric"] == metric).to_numpy()
    records, samples = (rows[name].to_numpy()[mine].tolist() for name in ("record", "samples"))
    return {record: of for record, of in zip(records, samples, strict=True) if of}
