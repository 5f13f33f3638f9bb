"""The parameters of the difficulty of generated tasks, held against every one that has some."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import pytest
import torch

from attnbench.errors import BadInput
from attnbench.workload import Parts, Task, majority_share
from attnbench.workload.faults import fault
from helpers.task_data import LOCAL, contents, declared, loaded, splits

VARIED = [name for name in LOCAL if declared(name).params and declared(name).kind == "synthetic"]
LENGTHENED = [name for name in VARIED if declared(name).longer is not None]


def points() -> list[Any]:
    """A test's parameters for every difficulty that is not the default, the name, the parameter and its value; between the ends long."""
    found = []
    for name in VARIED:
        for parameter, values in declared(name).grid.items():
            for value in set(values) - {declared(name).params[parameter]}:
                marks = () if (parameter, value) in ends(name) else pytest.mark.long
                found.append(pytest.param(name, parameter, value, marks=marks))
    return sorted(found, key=lambda of: of.values)


def ends(name: str) -> list[tuple[str, float]]:
    """The least and the greatest value of each parameter of a task."""
    return [(parameter, value) for parameter, values in declared(name).grid.items() for value in (min(values), max(values))]


at_every_difficulty = pytest.mark.parametrize(("name", "parameter", "value"), points())


@cache
def at(name: str, parameter: str, value: float) -> tuple[Task, Parts]:
    """A task with another difficulty, and its data."""
    task = declared(name).at({parameter: value})
    return task, task.parts(task.sources[0])


@pytest.mark.parametrize("name", VARIED)
def test_the_task_is_that_of_its_defaults(name: str) -> None:
    task = declared(name)
    again = task.at({})
    assert again.load is not None and again.load().fingerprint() == loaded(name).fingerprint()
    plain = {"load", "longer", "grid"}
    for field in dataclasses.fields(task):
        assert field.name in plain or getattr(task, field.name) == getattr(again, field.name), field.name


@pytest.mark.parametrize("name", VARIED)
def test_its_grid_has_more_than_its_default(name: str) -> None:
    task = declared(name)
    assert task.grid and set(task.grid) <= set(task.params)
    assert all(len(set(values)) == len(values) > 1 and list(values) == sorted(values) for values in task.grid.values())


@at_every_difficulty
def test_every_difficulty_has_data_as_it_declares(name: str, parameter: str, value: float) -> None:
    task, parts = at(name, parameter, value)  # Task.parts has held them against the declaration
    assert task.params == {**declared(name).params, parameter: value}
    assert majority_share(parts.validation.targets) < task.target - 0.1
    rows = [contents(split) for split in parts]
    assert [len(of) for of in rows] == [len(split) for split in parts]  # no row twice
    assert len(set().union(*rows)) == sum(map(len, rows))  # nor in two parts
    assert int(parts.train.inputs.max()) > 0.9 * (task.vocabulary or 0) - 1


@at_every_difficulty
def test_every_difficulty_has_other_data(name: str, parameter: str, value: float) -> None:
    _, parts = at(name, parameter, value)
    assert parts.fingerprint() != loaded(name).fingerprint()


@pytest.mark.parametrize(
    ("name", "parameter", "value", "fingerprint"),
    [
        ("mqar", "pairs", 16, "e5072220bc5403af"),
        ("selective_copy", "copied", 16, "c2cc4cbd0446fc5b"),
        ("noisy_recall", "noise", 0.6, "57c57b98444c2e62"),
        ("fuzzy_recall", "tokens", 3, "24d438cde363bd81"),
        ("memorisation", "facts", 1024, "65b0900a2191dd99"),
        ("compression", "tokens", 8, "c00301f21d2c6949"),
    ],
)
def test_the_bits_of_another_difficulty_are_these_on_every_machine(name: str, parameter: str, value: float, fingerprint: str) -> None:
    assert at(name, parameter, value)[1].fingerprint() == fingerprint


@pytest.mark.parametrize(
    ("name", "parameter", "values"),
    [
        ("mqar", "pairs", (0, -8, 3, 257, 10**30)),
        ("selective_copy", "copied", (0, 3, 257)),
        ("noisy_recall", "noise", (-0.2, 1.0, 0.96, float("nan"), float("inf"))),
        ("fuzzy_recall", "tokens", (0, 4)),
        ("memorisation", "facts", (0, 7, 8193)),
        ("compression", "tokens", (0, 3, 13)),
    ],
)
def test_values_that_it_cannot_have_are_refused(name: str, parameter: str, values: tuple[float, ...]) -> None:
    for value in values:
        with pytest.raises(BadInput, match=rf"parameter {parameter} is .*; give a number from \S+ to \S+$"):
            declared(name).at({parameter: value})


@pytest.mark.parametrize("name", VARIED)
def test_other_names_and_types_are_refused(name: str) -> None:
    task = declared(name)
    with pytest.raises(BadInput, match="unknown parameter of the task 'difficulty'"):
        task.at({"difficulty": 1})
    for parameter, default in task.params.items():
        for value in ("8", True, 8.0 if type(default) is int else 8):
            with pytest.raises(BadInput, match=f"give a {type(default).__name__}"):
                task.at({parameter: value})


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("name", LENGTHENED)
def test_longer_sequences_are_of_the_same_task(name: str, factor: int) -> None:
    for task in (declared(name), *(declared(name).at({parameter: value}) for parameter, value in ends(name))):
        assert task.longer is not None
        split, again = task.longer(factor), task.longer(factor)
        assert fault(dataclasses.replace(task, seq_len=factor * task.seq_len), split) is None
        assert torch.equal(split.inputs, again.inputs) and torch.equal(split.targets, again.targets)
        assert len(contents(split)) == len(split) >= 1_000
        assert abs(majority_share(split.targets) - majority_share(loaded(name).test.targets)) < 0.05


@pytest.mark.parametrize("name", LENGTHENED)
def test_longer_sequences_ask_as_much(name: str) -> None:
    """What has to be held is the same; it only has to be held for longer."""
    task = declared(name)
    assert task.longer is not None
    for split in (task.longer(2), task.longer(4)):
        assert ((split.targets >= 0).sum(1) == (loaded(name).test.targets[:1] >= 0).sum()).all()
    assert splits(loaded(name))["test"].inputs.shape[1] == task.seq_len
