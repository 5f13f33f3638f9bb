"""The seconds of a training step in every setting of a task, on the machine that timed most of its mechanisms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnbench.analysis.entries import settings
from attnbench.analysis.labels import Labels, threads_text
from attnbench.analysis.settings import ANY, SETTING, Setting, as_texts, comparable
from attnbench.analysis.time_medians import TimeMedians
from attnbench.analysis.time_table import TimeTable
from attnbench.analysis.times import time_table

if TYPE_CHECKING:
    import pandas as pd

_FLOPS = "algorithmic_flops"
# Axes of a training run or a step cell that say nothing of the model and its data, or of what computes.
_NOT_OF_MODEL = ("machine", "threads", "timing", "mode", "protocol", "epochs", "weight_decay", "test_seq_len", "rate")


@dataclass(frozen=True)
class StepTimes:
    """The times of a step in one setting.

    where: the machine and its threads. places: in `table`, by label, of the mechanisms whose seconds count. flops: of a step, by label, as
    they were counted.
    """

    where: str
    table: TimeTable
    places: dict[str, int]
    flops: dict[str, float]

    def seconds(self, label: str) -> float | None:
        """The seconds of a mechanism's step; None where they are not known."""
        place = self.places.get(label)
        return None if place is None else math.exp(self.table.seconds.log[place])


def step_times(table: pd.DataFrame, labels: Labels | None) -> dict[Setting, StepTimes]:
    """The times of a step by what a training run and its step cells have in common.

    table: from attnbench.load. labels: those of the whole table, if `table` is only a part of it.
    """
    rows = comparable(table, "step", labels)
    times = TimeMedians(table, rows, "step", labels)
    architectures = dict(zip(rows["record"].tolist(), rows["architecture"].tolist(), strict=True))
    found: dict[Setting, StepTimes] = {}
    for setting, entries, lookup in settings(rows, "step", (_FLOPS,)):
        architecture = architectures[entries[0].records[0]]
        if not isinstance(architecture, str):
            continue
        key, timed = _model_of("step", setting, architecture), time_table(times, setting, entries, "training_s")
        places = {entries[place].label: place for place in counting(timed)}
        if key not in found or len(places) > len(found[key].places):
            counted = {entry.label: lookup[_FLOPS].get(entry.records[0]) for entry in entries}
            found[key] = StepTimes(_where(setting), timed, places, {label: of[0] for label, of in counted.items() if of})
    return found


def _where(setting: Sequence[Any]) -> str:
    machine, gpu, threads = (as_texts(setting)[SETTING["step"].index(axis)] for axis in ("machine", "gpu", "threads"))
    return ", ".join(filter(None, (machine, gpu, threads_text(threads))))


def of_setting(found: Mapping[Setting, StepTimes], setting: Sequence[Any]) -> StepTimes | None:
    """The times of a step in a task's setting; None where there are none, and for older records, which measured times of their own."""
    any_machine, _, architecture = str(setting[SETTING["task"].index("machine")]).partition(" ")
    return found.get(_model_of("task", setting, architecture)) if any_machine == ANY and architecture else None


def counting(timed: TimeTable) -> list[int]:
    """The places of those mechanisms of a setting whose seconds count."""
    counts = np.isfinite(timed.seconds.log) & np.array([why is None for why in timed.whys])
    return [int(place) for place in np.flatnonzero(counts)]


def _model_of(track: str, setting: Sequence[object], architecture: str) -> Setting:
    """What a training run and the step cells of its model have in common: the architecture of the machine, and the rest from the setting
    of either."""
    return as_texts((architecture, *(value for name, value in zip(SETTING[track], setting, strict=True) if name not in _NOT_OF_MODEL)))
