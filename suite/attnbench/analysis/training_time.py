"""Training times and FLOPs: the steps of a training run times the seconds of a step, which the step track measures apart.

A training run has one thread and others beside it, so that its accuracy is that of every machine of its architecture, and no time of it
counts. Its time is that of one machine, which timed the steps of as many mechanisms of its setting as any.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from attnbench.analysis.settings import Setting, setting_of
from attnbench.analysis.step_times import StepTimes, of_setting
from attnbench.store.record import Record

TIMED_ON = "timed_on"  # a fact that is added: the machine, and its threads, on which the steps were timed


def with_training_time(record: Record, label: str, steps: Mapping[Setting, StepTimes]) -> Record:
    """A training run with the times that it would have taken alone, and its FLOPs, as far as its steps are known; others as they are.

    label: of the record's mechanism. steps: from step_times.
    """
    done = record.measurements.get("steps")
    if record.spec.track != "task" or not done:
        return record
    timed = of_setting(steps, setting_of(record))
    seconds = timed.seconds(label) if timed else None
    if timed is not None and (flops := timed.flops.get(label)) is not None:
        record = replace(record, measurements={**record.measurements, "training_flops": [done[0] * flops]})
    curve = {name: column for name, column in record.curve.items() if name != "wall_s"}
    if timed is None or seconds is None:
        return replace(record, curve=curve)
    times = {"train_s": [done[0] * seconds]}
    if shown := record.measurements.get("training_tokens"):
        times["training_tokens_per_s"] = [shown[0] / times["train_s"][0]]
    if reached := record.measurements.get("steps_to_target"):
        times["time_to_target_s"] = [reached[0] * seconds]
    if "step" in curve:
        curve["wall_s"] = [None if number is None else number * seconds for number in curve["step"]]
    environment = {**record.environment, TIMED_ON: timed.where}
    return replace(record, measurements={**record.measurements, **times}, curve=curve, environment=environment)
