"""What trials show of rates: means over their seeds, what diverged, and the width of the plateau."""

from __future__ import annotations

import dataclasses

import pytest

from attnbench.analysis.rates import trials_by_setting, tried
from attnbench.spec.protocol import NEWEST
from attnbench.store.record import Record
from helpers.records import learnt

GRID = "0.0003 0.001 0.003"


def trial(rate: float, seed: int, value: float, diverged: bool = False, status: str = "ok") -> Record:
    record = learnt("softmax", seed, 0.5, lr=rate)
    spec = dataclasses.replace(record.spec, evaluate="validation", protocol=NEWEST.name)
    measured = {"validation_accuracy": [value], "diverged": [float(diverged)]}
    return dataclasses.replace(record, id=spec.key(), spec=spec, status=status, measurements=measured if status == "ok" else {})


def result(**axes: object) -> Record:
    record = learnt("softmax", 0, 0.5, lr=1e-3)
    return dataclasses.replace(record, spec=dataclasses.replace(record.spec, lr_grid=GRID, protocol=NEWEST.name, **axes))


def test_rates_are_shown_with_what_was_reached_and_what_diverged() -> None:
    reached = {(3e-4, 1000): 0.7, (3e-4, 1001): 0.72, (1e-3, 1000): 0.80, (1e-3, 1001): 0.82, (3e-3, 1000): 0.805}
    records = [trial(rate, seed, value) for (rate, seed), value in reached.items()]
    records += [trial(3e-3, 1001, 0.1, diverged=True), trial(1e-2, 1000, 0.0, status="timeout"), result()]
    found = tried(trials_by_setting(records, lambda record: record.spec.variant), result(), "accuracy")["softmax"]
    assert found.reached == pytest.approx({3e-4: 0.71, 1e-3: 0.81}) and found.diverged == (3e-3,)
    assert found.tolerance == NEWEST.margins["accuracy"]
    assert found.plateau is not None and 3e-4 < found.plateau.low < 1e-3 == found.plateau.high


def test_trials_of_another_setting_are_not_those_of_a_run() -> None:
    trials = trials_by_setting([trial(1e-3, 1000, 0.8)], lambda record: record.spec.variant)
    assert tried(trials, result(), "accuracy") and not tried(trials, result(weight_decay=0.0), "accuracy")
    assert (
        tried(trials, result(positions="learned"), "bits_per_byte")["softmax"].plateau is None
    )  # trials of another metric reached nothing
