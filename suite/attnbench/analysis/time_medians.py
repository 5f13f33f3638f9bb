"""The times of a track's records in the model of processes: medians, the spread between processes, and softmax's own cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from attnbench.analysis.codes import codes
from attnbench.analysis.labels import Labels
from attnbench.analysis.settings import BENCH, SETTING, as_texts, comparable, samples_by_record
from attnbench.analysis.unverified import unverified
from attnbench.spec.axis_values import MODES
from attnbench.stats import KNOWN, Location, Medians, Spread, between_processes, locations, medians

if TYPE_CHECKING:
    import pandas as pd

BASELINE = "softmax"
TIMES: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("kernel", "depth", "step"), tuple(f"{mode}_s" for mode in MODES)), "task": ("train_s",),
}  # fmt: skip
_SPREAD = (*BENCH, "timing", "mode")  # the axes of a setting in which one spread between processes holds
Key = tuple[str, ...]


class TimeMedians:
    """Of every record of a track that counts, by its number, the medians of its times; NaN where it has none.

    counts: samples. seconds: at the usual speed of the session; anchors: those of softmax in the same rounds; turns: the ratio of the two
    in each round; over_drift: seconds over those of the drift anchor; kernels: logarithms of the seconds of the GPU's kernels.
    """

    def __init__(self, table: pd.DataFrame, rows: pd.DataFrame, track: str, labels: Labels | None = None) -> None:
        """rows: `comparable(table, track, labels)`, or some of them."""
        self._axes = SETTING[track]
        heads = _heads(rows)
        self.counts = _counts(rows, TIMES[track]).tolist()
        self.seconds, self.anchors = (_corrected(_of(rows, names), heads) for names in (TIMES[track], ("anchor_s",)))
        self.turns = _of(rows, ("anchor_ratio",))
        raw, drift = _of(rows, TIMES[track]), _of(rows, ("drift_anchor_s",))
        self.over_drift = Medians(raw.log - drift.log, raw.error, raw.freedom)
        self.kernels = _of(rows, [f"{mode}_kernel_s" for mode in MODES]).log
        counts = _count(heads)
        steady = counts & heads["drift"].isna().to_numpy(dtype=bool)
        self.anchors = Medians(np.where(steady, self.anchors.log, np.nan), self.anchors.error, self.anchors.freedom)
        self._of_seconds = self._spreads(heads, self.seconds, steady)
        self._of_turns = self._spreads(heads, self.turns, counts)
        self._own = self._baselines(table, track, labels)

    def spreads(self, setting: Sequence[Any]) -> tuple[Spread, Spread]:
        """How far processes differ in a setting: in seconds, and in the ratio of turns, whose two parts share a process."""
        key = self._spread_key(setting)
        return self._of_seconds.get(key, KNOWN), self._of_turns.get(key, KNOWN)

    def softmax(self, setting: Sequence[Any], session: str) -> Location | None:
        """The seconds of softmax's own cells of a setting in a session, later measured again or not; None where none counts."""
        return self._own.get((as_texts(setting), session))

    def _spread_key(self, setting: Sequence[Any]) -> Key:
        return as_texts(value for name, value in zip(self._axes, setting, strict=True) if name in _SPREAD)

    def _spreads(self, heads: pd.DataFrame, given: Medians, counts: NDArray[np.bool_]) -> dict[Key, Spread]:
        """The spread between processes on every bench and in every mode."""
        kept = np.flatnonzero(counts & np.isfinite(given.log))
        mine, given = heads.iloc[kept], given.of(kept)
        axes = [name for name in self._axes if name in _SPREAD]
        benches, cells = codes(mine, axes), codes(mine, (*self._axes, "label"))
        values = {name: mine[name].tolist() for name in axes}  # as Python's numbers, of which a setting consists
        found: dict[Key, Spread] = {}
        for bench, first in zip(*np.unique(benches, return_index=True), strict=True):
            own = np.flatnonzero(benches == bench)
            key = as_texts(values[name][first] for name in axes)
            found[key] = between_processes(given.of(own), np.unique(cells[own], return_inverse=True)[1])
        return found

    def _baselines(self, table: pd.DataFrame, track: str, labels: Labels | None) -> dict[tuple[Key, str], Location]:
        """Softmax's own seconds in every setting and session."""
        rows = comparable(table[(table["variant"] == BASELINE).to_numpy()], track, labels, apart=("session",))
        heads = _heads(rows)
        given = _corrected(_of(rows, TIMES[track]), heads)
        sound = (heads["label"] == BASELINE) & (heads["status"] == "ok") & heads["drift"].isna()
        kept = np.flatnonzero(sound.to_numpy(dtype=bool) & _count(heads) & np.isfinite(given.log))
        heads, given = heads.iloc[kept], given.of(kept)
        cells = codes(heads, (*self._axes, "session"))
        firsts = np.unique(cells, return_index=True)[1]
        values = [heads[name].iloc[firsts].tolist() for name in self._axes]
        settings = list(zip(*values, strict=True))
        of_bench: dict[Key, list[int]] = {}
        for cell, setting in enumerate(settings):
            of_bench.setdefault(self._spread_key(setting), []).append(cell)
        sessions = heads["session"].iloc[firsts].tolist()
        found: dict[tuple[Key, str], Location] = {}
        for key, own in of_bench.items():
            mine = np.flatnonzero(np.isin(cells, own))
            place = {cell: number for number, cell in enumerate(own)}
            numbers = np.array([place[cell] for cell in cells[mine].tolist()], dtype=np.intp)
            located = locations(given.of(mine), numbers, len(own), self._of_seconds.get(key, KNOWN))
            for cell, number in place.items():
                if base := located.at(number):
                    found[as_texts(settings[cell]), sessions[cell]] = base
        return found


def _heads(rows: pd.DataFrame) -> pd.DataFrame:
    """The first row of every record, in the order of their numbers."""
    return rows.iloc[np.unique(rows["record"].to_numpy(), return_index=True)[1]]


def _count(heads: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether the times of each record count: it was not disturbed, and its output was verified."""
    said = zip(heads["not_compared"].tolist(), heads["timing"].tolist(), strict=True)
    return heads["flagged"].isna().to_numpy(dtype=bool) & np.array([unverified(*of) is None for of in said], dtype=bool)


def _of(rows: pd.DataFrame, names: Sequence[str]) -> Medians:
    """The medians of a metric, by the number of the record; of the first of several metrics that a record has."""
    count = int(rows["record"].max()) + 1 if len(rows) else 0
    held: dict[int, list[float]] = {}
    for name in reversed(names):
        held |= samples_by_record(rows, name)
    places = np.fromiter(held, dtype=np.intp, count=len(held))
    with np.errstate(divide="ignore", invalid="ignore"):  # what is not above zero has no logarithm, and does not count
        found = medians(list(held.values()))
    whole = [np.full(count, np.nan), np.zeros(count), np.zeros(count)]
    for column, values in zip(whole, (found.log, found.error, found.freedom), strict=True):
        column[places] = values
    sound = np.isfinite(whole[0]) & np.isfinite(whole[1])
    return Medians(np.where(sound, whole[0], np.nan), *(np.where(sound, of, 0.0) for of in whole[1:]))


def _counts(rows: pd.DataFrame, names: Sequence[str]) -> NDArray[np.intp]:
    """How many samples of a metric each record has."""
    found = np.zeros(int(rows["record"].max()) + 1 if len(rows) else 0, dtype=np.intp)
    mine = rows["metric"].isin(names).to_numpy()
    np.add.at(found, rows["record"].to_numpy()[mine], list(map(len, rows["samples"].to_numpy()[mine].tolist())))
    return found


def _corrected(given: Medians, heads: pd.DataFrame) -> Medians:
    """Seconds as they would have been at the usual speed of the session."""
    return Medians(given.log - np.log(heads["slower"].to_numpy(dtype=float)), given.error, given.freedom)
