"""Which records may be compared: groups them into settings, which are never mixed, and picks the record that counts for each cell."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from attnbench.analysis.codes import codes
from attnbench.analysis.labels import USUAL, Labels, canonical
from attnbench.errors import BadInput
from attnbench.spec.plain import plain_params
from attnbench.spec.protocol import FIRST
from attnbench.store.facts import APART
from attnbench.store.newest import newest, newest_places
from attnbench.store.ran_on import ran_on
from attnbench.store.record import PYTEST_BENCHMARK, Record

if TYPE_CHECKING:
    import pandas as pd

# What a result was computed on and with: two that differ in it are never compared, averaged or judged together. Of a training run by
# the protocol the machine is any of its architecture: see `machine_of`.
BENCH = ("machine", "device", "gpu", "threads", "dtype", "torch")
_SHARED = (*BENCH, "causal", "batch_size", "num_heads", "head_dim")
TUNED = "chosen by trials"  # in place of a rate; analysis.edge says of each run whether it is at an edge, and so not tuned
ANY = "any"  # in place of a machine's name, before an architecture
_OPTIONS = ("token_shift", "init_norm", "positions")  # of a model
_TASK = ("task", "task_params", "data", "block", "num_layers")
# The axes on which two results of a track must agree to be compared. The machine stands for its hardware, of which threads and the GPU are
# the part that was used; data for source and fingerprint; timing for the rule of the rounds, which is missing in older records.
# A metric whose meaning changes gets a new name, so that two versions of it are never mixed either.
SETTING = {
    "kernel": (*_SHARED, "num_kv_heads", "timing", "mode", "seq_len", "padded"),
    "depth": (*_SHARED, "timing", "mode", "seq_len", "block", "num_layers", "token_shift", "init_norm"),
    "task": (*_SHARED, *_TASK, *_OPTIONS, "protocol", "epochs", "weight_decay", "test_seq_len", "rate"),
    "step": (*_SHARED, "timing", "mode", *_TASK, *_OPTIONS),
}
RECORD = ("machine", "session", "id", "started_at", "duration_s", "status")  # columns that together identify a record among the rows
ALONG = {"kernel": "seq_len", "depth": "num_layers", "step": "num_layers"}  # the axis along which a cost grows
Setting = tuple[str, ...]


def setting_of(record: Record) -> Setting:
    """The setting of a record: its values on the axes of SETTING, as texts, "" for one that is missing."""
    spec = record.spec
    rate = _rate(spec.lr, spec.lr_grid, spec.protocol, spec.tuned_epochs)
    beside = {**_outside_spec(record), "task_params": spec.difficulty, "rate": rate}
    return as_texts(beside[axis] if axis in beside else getattr(spec, axis) for axis in SETTING[spec.track])


def bench_of(record: Record) -> Setting:
    """The bench of a record: its values on the axes of BENCH, as texts."""
    beside = _outside_spec(record)
    return as_texts(beside[axis] if axis in beside else getattr(record.spec, axis) for axis in BENCH)


def _outside_spec(record: Record) -> dict[str, object]:
    """The values of a record on those axes of SETTING that are not its spec's."""
    torch, part = record.environment.get("torch"), ran_on(record.spec.device, record.environment)
    told = {"torch": torch if isinstance(torch, str) else None, "timing": record.environment.get("timing")}
    return {"machine": machine_of(record), "threads": part.threads, "gpu": part.gpu, **told}


def machine_of(record: Record) -> str:
    """The machine in a record's setting: its name, or "any x86_64" of a training run by the protocol, whose accuracy is that of any such.

    The protocol gives a training run one thread so that its accuracy does not depend on the machine, and counts none of its times; its
    build of torch and, on a GPU, the GPU are axes of their own. Older records measured times, so that they stay with their machine.
    """
    return _any_machine(record.spec.track, record.environment.get("timing"), record.environment.get("architecture")) or record.machine


def _any_machine(track: str, timing: object, architecture: object) -> str | None:
    """What stands for the machine of a training run by the protocol; None for any other, and where its architecture is not known."""
    is_protocol = track == "task" and timing == APART
    return f"{ANY} {architecture}" if is_protocol and isinstance(architecture, str) and architecture else None


def as_texts(values: Iterable[object]) -> Setting:
    """Values of axes as texts, the same whatever type the frame gave a number, and "" for a missing one."""
    return tuple(map(_as_text, values))


def _as_text(value: object) -> str:
    if value is None or value != value or not isinstance(value, (str, bool, int, float)):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def without(setting: Setting, track: str, axis: str | None) -> Setting:
    """A setting of a track without its value on one axis; the whole setting if the axis is None."""
    return tuple(value for name, value in zip(SETTING[track], setting, strict=True) if name != axis)


def grouped(records: Iterable[Record], but: Mapping[str, str] = MappingProxyType({})) -> list[list[Record]]:
    """Groups of records with the same track and setting, in the order given.

    but: for a track, the axis on which the records of a group may differ.
    """
    found: dict[tuple[str, Setting], list[Record]] = {}
    for record in records:
        track = record.spec.track
        found.setdefault((track, without(setting_of(record), track, but.get(track))), []).append(record)
    return list(found.values())


def newest_of_cells(records: Iterable[Record], label: Callable[[Record], str]) -> list[Record]:
    """The record that counts for each cell, tuning trials included, in the order in which the cells appear.

    A cell is a mechanism in a setting with a seed, as in `comparable`, or a tuning trial of it; equal labels mean the same mechanism.
    """

    def cell(record: Record) -> tuple[object, ...]:
        spec = record.spec
        return spec.track, setting_of(record), label(record), spec.seed, spec.evaluate

    return newest(records, cell)


def _rate(lr: float | None, lr_grid: object, protocol: object = FIRST.name, tuned_epochs: float | None = None) -> str:
    """How a learning rate was set: "0.003" if it was given, "chosen by trials" if a protocol with rates of its own chose it, "chosen by
    trials at 8 epochs" if these had so many and the run another number, "of 0.001 0.003" if it is one of these, "" if there is none."""
    if isinstance(lr_grid, str):
        chosen = f"of {lr_grid}" if protocol == FIRST.name else TUNED
        return f"{chosen} at {tuned_epochs:.0f} epochs" if tuned_epochs is not None and tuned_epochs == tuned_epochs else chosen
    return "" if lr is None else f"{lr:g}"


def comparable(table: pd.DataFrame, track: str, labels: Labels | None = None, apart: Sequence[str] = ()) -> pd.DataFrame:
    """The rows of a track's records that count, without tuning trials: one record for each mechanism, setting and seed.

    table: the rows of a session are in the order of its file; store.newest decides which record counts. `machine` is that of `machine_of`,
    and three columns are added: `record`, a number for each record; `rate`, how the learning rate was set, see _rate; and
    `label`, the mechanism's name with the parameters that differ from its defaults. labels: those of the whole table, if `table` is only a
    part of it, so that a mechanism has the same label in all parts. apart: further columns; with "session", one record of each session
    counts.
    """
    mine = _where(table, (table["track"] == track).to_numpy() & (table["evaluate"] != "validation").to_numpy())
    record = codes(mine, RECORD)
    heads = mine.iloc[np.unique(record, return_index=True)[1]]
    rate = list(map(_rate, *(heads[name].tolist() for name in ("lr", "lr_grid", "protocol", "tuned_epochs"))))
    label = label_of(heads, labels or labels_of(heads))
    heads = heads.assign(record=np.arange(len(heads)), rate=rate, label=label, machine=_machines(heads))
    kept = np.sort(_newest(heads, codes(heads, (*SETTING[track], "label", "seed", *apart))))
    place = np.full(len(heads), -1)
    place[kept] = np.arange(len(kept))
    number = place[record]
    found, number = _where(mine, number >= 0), number[number >= 0]
    heads = heads.iloc[kept]
    added = {name: heads[name].to_numpy()[number] for name in ("rate", "label", "machine")}
    return found.assign(record=number, **added)


def _machines(heads: pd.DataFrame) -> NDArray[np.object_]:
    """The machine in the setting of every record: see machine_of. heads: one row for each record."""
    told = zip(*(heads[name].tolist() for name in ("track", "timing", "architecture", "machine")), strict=True)
    return np.array([_any_machine(*of) or machine for *of, machine in told], dtype=object)


def usual(table: pd.DataFrame, but: Collection[str] = ()) -> NDArray[np.bool_]:
    """Whether a row's cell has the value that goes without saying on every axis of USUAL, those named in `but` left aside.

    A stack is usually bidirectional: before there were causal ones a depth cell had no other form, and claims were written for that.
    """
    found = np.ones(len(table), dtype=bool)
    if "causal" not in but:
        found &= ~((table["track"] == "depth") & (table["causal"] == True)).to_numpy()  # noqa: E712  (it may be missing)
    for name in USUAL.keys() - but:
        found &= (table[name].isna() if USUAL[name] is None else table[name] == USUAL[name]).to_numpy()
    return found


def needed_rows(table: pd.DataFrame, rows: NDArray[np.intp], metric: str) -> NDArray[np.intp]:
    """Of the given rows, those of a metric and the first of every record, which holds its status. A record has a dozen rows."""
    first = np.ones(len(rows), dtype=bool)
    first[1:] = False
    for name in RECORD:
        column = table[name].to_numpy()[rows]
        first[1:] |= column[1:] != column[:-1]
    return rows[first | (table["metric"] == metric).to_numpy()[rows]]


def _where(table: pd.DataFrame, mask: NDArray[np.bool_]) -> pd.DataFrame:
    """The rows that a mask selects; the table itself, not a copy, where it selects all."""
    return table if mask.all() else table[mask]


def labels_of(table: pd.DataFrame) -> Labels:
    """The labels of all mechanisms in a frame."""
    variants, params = table["variant"].tolist(), table["params"].tolist()
    distinct = {(variant, canonical(given) if given else "{}"): given for variant, given in zip(variants, params, strict=True)}
    return Labels([(name, given) for (name, _), given in distinct.items()], declared_params({name for name, _ in distinct}))


def label_of(heads: pd.DataFrame, labels: Labels) -> NDArray[np.object_]:
    """The label of every record. heads: one row for each record."""
    made: dict[tuple[str, str], str] = {}
    found = np.empty(len(heads), dtype=object)
    for place, (variant, params) in enumerate(zip(heads["variant"].tolist(), heads["params"].tolist(), strict=True)):
        key = variant, canonical(params) if params else "{}"
        if key not in made:
            made[key] = labels.label(variant, params)
        found[place] = made[key]
    return found


def _newest(heads: pd.DataFrame, cells: NDArray[np.intp]) -> NDArray[np.intp]:
    """The index of the record that counts for each cell. heads: one row for each record; cells: the cell of each, as a number."""
    imported = (heads["by"] == PYTEST_BENCHMARK).to_numpy(dtype=np.bool_)
    return newest_places(cells, heads["session"].tolist(), heads["started_at"].fillna("").tolist(), imported)


def declared_params(variants: set[str]) -> dict[str, Mapping[str, Any]]:
    """The default parameters of those variants that are registered here."""
    from attnbench import registry

    found: dict[str, Mapping[str, Any]] = {}
    for name in sorted(variants & set(registry.names("variants"))):
        with suppress(BadInput):  # a plug-in that cannot be imported here, or has what no record holds, counts as not registered
            found[name] = plain_params(registry.field("variants", name, "params", default={}), name)
    return found


def samples_by_record(rows: pd.DataFrame, metric: str) -> dict[int, list[float]]:
    """The samples of a metric, by record; records without samples are left out."""
    mine = (rows["metric"] == metric).to_numpy()
    records, samples = (rows[name].to_numpy()[mine].tolist() for name in ("record", "samples"))
    return {record: of for record, of in zip(records, samples, strict=True) if of}
