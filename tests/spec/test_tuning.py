"""A learning rate is chosen on the validation part of its trials, whatever order they come in and whatever became of some."""

from __future__ import annotations

import dataclasses

import pytest

from attnbench.errors import BadInput
from attnbench.runner.cell import Refusal
from attnbench.runner.tuning import choose_rate
from attnbench.spec import tuning
from attnbench.spec.axes import Spec
from attnbench.store.record import Record
from helpers.records import make_record


def open_spec(**axes: object) -> Spec:
    given = {"task": "mnist", "block": "residual", "num_layers": 2, "epochs": 3, "lr_grid": "0.001 0.003 0.01", "seed": 2}
    return Spec(track="task", variant="softmax", **{**given, **axes})


def trial(rate: float, value: float | None = None, metric: str = "accuracy", diverged: bool = False) -> Record:
    """The record of a trial; without a value, of one that failed."""
    spec = dataclasses.replace(open_spec(), lr=rate, lr_grid=None, seed=tuning.SEED, evaluate="validation")
    if value is None:
        return make_record(spec, status="error", reason="ValueError: no\nmore", measurements={})
    return make_record(spec, measurements={f"validation_{metric}": [value], "diverged": [float(diverged)]})


def test_a_grid_has_one_trial_a_rate_that_never_sees_the_test_part() -> None:
    spec = open_spec()
    trials = tuning.trials(spec)
    assert tuning.is_open(spec) and not any(tuning.is_open(one) for one in trials)
    assert [one.lr for one in trials] == [0.001, 0.003, 0.01]
    assert {one.evaluate for one in trials} == {"validation"}
    assert {one.seed for one in trials} == {tuning.SEED} and tuning.SEED > 100  # none of the seeds that count
    assert trials == tuning.trials(open_spec(seed=0))  # seeds share them


@pytest.mark.parametrize(
    ("tried", "chosen"),
    [
        ([trial(0.001, 0.7), trial(0.003, 0.9), trial(0.01, 0.8)], 0.003),
        ([trial(0.01, 0.9), trial(0.003, 0.9), trial(0.001, 0.8)], 0.003),  # two as good: the smaller
        ([trial(0.001, 0.3), trial(0.003, 0.5, diverged=True), trial(0.01)], 0.001),
        ([trial(0.001, 0.1, diverged=True), trial(0.003, 0.1, diverged=True)], 0.001),
        ([trial(0.001, 2.9, "bits_per_byte"), trial(0.003, 2.5, "bits_per_byte"), trial(0.01, 4.0, "bits_per_byte")], 0.003),
    ],
)
def test_the_best_on_the_validation_part_is_chosen(tried: list[Record], chosen: float) -> None:
    closed = choose_rate(open_spec(), tried)
    assert isinstance(closed, Spec)
    assert (closed.lr, closed.lr_grid, closed.seed, closed.evaluate) == (chosen, "0.001 0.003 0.01", 2, "test")


def test_where_every_trial_failed_the_cell_ends_as_they_did() -> None:
    assert choose_rate(open_spec(), [trial(0.001), trial(0.003)]) == Refusal("error", "ValueError: no")
    out = dataclasses.replace(trial(0.003), status="oom", reason="no memory")
    assert choose_rate(open_spec(), [trial(0.001), out]) == Refusal(
        "skipped", "no rate could be tried; error: ValueError: no; oom: no memory"
    )


@pytest.mark.parametrize("damage", [{}, {"validation_accuracy": []}, {"accuracy": [0.5]}, {"diverged": [0.0]}])
def test_a_trial_whose_result_is_gone_does_not_count(damage: dict[str, list[float]]) -> None:
    gone = dataclasses.replace(trial(0.01, 0.9), measurements=damage)
    closed = choose_rate(open_spec(), [trial(0.001, 0.7), gone])
    assert isinstance(closed, Spec) and closed.lr == 0.001
    refused = choose_rate(open_spec(), [gone])
    assert isinstance(refused, Refusal) and "no result on the validation part" in refused.reason
    unknown = dataclasses.replace(trial(0.01, 0.9), measurements={"validation_accuracy": [0.9]})
    closed = choose_rate(open_spec(), [trial(0.001, 0.7), unknown])
    assert isinstance(closed, Spec) and closed.lr == 0.01  # whether it diverged is not known


@pytest.mark.parametrize("grid", ["", "fast", "0.1 -1", "0.1,0.2"])
def test_a_grid_that_is_none_is_refused(grid: str) -> None:
    with pytest.raises(BadInput, match="give rates above 0"):
        tuning.trials(open_spec(lr_grid=grid))


def test_a_grid_reads_from_small_to_large() -> None:
    assert tuning.grid([3e-3, 1e-3 / 3, 1e-3]) == "0.000333 0.001 0.003"
