"""Training times: the steps of a training run times the seconds of a step, which the step track measures apart.

A training run has one thread and others beside it, so that its accuracy is that of every machine of its architecture, and no time of it
counts. Its time is that of one machine, on which as many mechanisms as possible of its setting have a step cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from attnbench.analysis.settings import SETTING, Setting, setting_of
from attnbench.analysis.standings import Standings
from attnbench.store.record import Record

TIMED_ON = "timed_on"  # a fact that `of` adds: the machine, and its threads, on which the steps were timed
_NOT_OF_MODEL = ("machine", "threads", "timing", "mode", "epochs", "rate")  # axes of a setting that say nothing of the model and its data


def model_of(track: str, setting: Setting) -> Setting:
    """What a training run and a step cell have in common, from the setting of either."""
    return tuple(value for name, value in zip(SETTING[track], setting, strict=True) if name not in _NOT_OF_MODEL)


@dataclass(frozen=True)
class Steps:
    """The seconds of a step of every mechanism in one setting, by label, and where they were measured."""

    where: str
    seconds: dict[str, float]


class TrainingTimes:
    """Adds to training runs the times that they would have taken on one machine, alone.

    records: those that count, of all tracks. standings: of the same records. label: of a record's mechanism.
    """

    def __init__(self, records: Iterable[Record], standings: Standings, label: Callable[[Record], str]) -> None:
        self._label = label
        first: dict[Setting, Record] = {}
        for record in records:
            if record.spec.track == "step":
                first.setdefault(setting_of(record), record)
        self._steps: dict[Setting, Steps] = {}
        for setting, record in first.items():
            found = {label: of.seconds.value for label, of in standings.places("time", record).items() if of.counts and of.seconds}
            key = model_of("step", setting)
            known = self._steps.get(key)
            if known is None or len(found) > len(known.seconds):
                self._steps[key] = Steps(_where(record), found)

    def of(self, record: Record) -> Record:
        """The record with its training times, as far as its steps are known; any other record as it is."""
        steps = record.measurements.get("steps")
        own = self._steps.get(model_of("task", setting_of(record))) if record.spec.track == "task" and steps else None
        seconds = own.seconds.get(self._label(record)) if own else None
        if own is None or seconds is None or not steps:
            return _without_times(record) if steps else record
        times = {"train_s": [steps[0] * seconds]}
        if shown := record.measurements.get("training_tokens"):
            times["training_tokens_per_s"] = [shown[0] / times["train_s"][0]]
        if reached := record.measurements.get("steps_to_target"):
            times["time_to_target_s"] = [reached[0] * seconds]
        curve = dict(record.curve)
        if "step" in curve:
            curve["wall_s"] = [None if done is None else done * seconds for done in curve["step"]]
        return replace(
            record,
            measurements={**record.measurements, **times},
            curve=curve,
            environment={**record.environment, TIMED_ON: own.where},
        )


def _without_times(record: Record) -> Record:
    return replace(record, curve={name: column for name, column in record.curve.items() if name != "wall_s"})


def _where(record: Record) -> str:
    threads = record.environment.get("threads")
    return record.machine if threads is None else f"{record.machine}, {threads} threads"
