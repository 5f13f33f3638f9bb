"""The contract of a task, held against every registered name."""

from __future__ import annotations

import dataclasses
import importlib
from functools import cache
from pathlib import Path

import pytest
import torch

import attnbench
from attnbench import registry
from attnbench.errors import BadInput
from attnbench.workload import DATA, Parts, Split, Task, hold_out, majority_share, take

NAMES = attnbench.names("tasks")
tasks = pytest.mark.parametrize("name", NAMES)


def declared(name: str) -> Task:
    task: Task = registry.load("tasks", name)
    return task


@cache
def loaded(name: str) -> Parts:
    return declared(name).load()


def splits(parts: Parts) -> dict[str, Split]:
    return {"train": parts.train, "validation": parts.validation, "test": parts.test}


def contents(split: Split) -> set[bytes]:
    return {row.numpy().tobytes() for row in split.inputs}


@tasks
def test_it_is_declared_in_full(name: str) -> None:
    task = declared(name)
    docstring = importlib.import_module(f"attnbench.tasks.{name}").__doc__ or ""
    assert len(docstring.split("\n", 1)[0].strip()) > 10
    assert registry.summary("tasks", name) == docstring.split("\n", 1)[0]
    assert task.citation.strip() and task.licence.strip() and task.metric.strip()
    assert task.kind in ("image", "tokens")
    assert task.num_classes >= 2 and task.seq_len >= 1
    assert (task.patch is not None) == (task.kind == "image")
    assert (task.vocabulary is not None) == (task.kind == "tokens")


@tasks
def test_its_files_are_embedded(name: str) -> None:
    files = declared(name).files
    assert len(set(files)) == len(files)
    for file in files:
        assert Path(file).name == file and (DATA / file).stat().st_size > 1000


@tasks
def test_shapes_and_dtypes_are_as_declared(name: str) -> None:
    task = declared(name)
    for split in splits(loaded(name)).values():
        rows = len(split)
        assert rows >= 100
        assert split.targets.shape == (rows,) and split.targets.dtype == torch.int64
        if task.patch is not None:
            assert split.inputs.dtype == torch.uint8 and split.inputs.ndim == 3
            height, width = split.inputs.shape[1:]
            assert height % task.patch == width % task.patch == 0
            assert (height // task.patch) * (width // task.patch) == task.seq_len
        else:
            assert split.inputs.dtype == torch.int64 and split.inputs.shape == (rows, task.seq_len)
        assert split.inputs.shape[0] == rows
        assert split.groups is None or len(split.groups) == rows


@tasks
def test_inputs_use_the_range_they_are_given(name: str) -> None:
    task, train = declared(name), loaded(name).train
    if task.vocabulary is None:
        assert int(train.inputs.min()) == 0 and int(train.inputs.max()) == 255
        return
    assert int(train.inputs.max()) == task.vocabulary - 1
    for split in splits(loaded(name)).values():
        assert int(split.inputs.min()) >= 0 and int(split.inputs.max()) < task.vocabulary


@tasks
def test_every_class_is_in_every_part_and_no_other(name: str) -> None:
    for part, split in splits(loaded(name)).items():
        assert split.targets.unique().tolist() == list(range(declared(name).num_classes)), part
        assert majority_share(split.targets) < 0.6, part


@tasks
def test_no_two_parts_share_a_group_or_a_row(name: str) -> None:
    parts = splits(loaded(name))
    keys = {part: set(split.groups) if split.groups is not None else contents(split) for part, split in parts.items()}
    for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not keys[first] & keys[second], (first, second)
    assert min(len(key) for key in keys.values()) > 1


@tasks
def test_hardly_any_row_is_in_two_parts(name: str) -> None:
    """Groups apart, two addresses may still hold one sentence; a thousandth of the rows is no leak."""
    parts = splits(loaded(name))
    seen = contents(parts["train"])
    for part in ("validation", "test"):
        shared = sum(row.numpy().tobytes() in seen for row in parts[part].inputs)
        assert shared <= len(parts[part]) / 500, part


@tasks
def test_loading_twice_gives_the_same(name: str) -> None:
    state = torch.get_rng_state()
    again = splits(declared(name).load())
    torch.manual_seed(12345)
    once_more = splits(declared(name).load())
    torch.set_rng_state(state)
    for part, split in splits(loaded(name)).items():
        for other in (again[part], once_more[part]):
            assert torch.equal(split.inputs, other.inputs) and torch.equal(split.targets, other.targets)
            assert split.groups == other.groups
            assert (split.padding_mask is None) == (other.padding_mask is None)
            if split.padding_mask is not None and other.padding_mask is not None:
                assert torch.equal(split.padding_mask, other.padding_mask)


@tasks
def test_the_padding_mask_hides_what_is_empty_and_nothing_else(name: str) -> None:
    """Padding follows the content and holds one token, which stands nowhere else."""
    for split in splits(loaded(name)).values():
        mask = split.padding_mask
        if mask is None:
            assert (split.inputs.flatten(1).float().std(1) > 0.0).all()  # no row is blank
            continue
        assert mask.dtype == torch.bool and mask.shape == split.inputs.shape[:2]
        assert mask.any() and not mask.all(1).any()
        assert torch.equal(mask.int().cummax(1).values, mask.int())
        (padding,) = split.inputs[mask].unique().tolist()
        assert not (split.inputs[~mask] == padding).any()


def toy() -> Split:
    rows = torch.arange(10)
    return Split(rows[:, None].repeat(1, 3), rows % 2, (rows[:, None] > 4).repeat(1, 3), tuple(f"group {i}" for i in range(10)))


def test_taken_rows_keep_their_order_and_all_that_belongs_to_them() -> None:
    part = take(toy(), torch.tensor([7, 2, 7]))
    assert part.inputs[:, 0].tolist() == [7, 2, 7] and part.targets.tolist() == [1, 0, 1]
    assert part.padding_mask is not None and part.padding_mask[:, 0].tolist() == [True, False, True]
    assert part.groups == ("group 7", "group 2", "group 7")


def test_held_out_rows_are_the_fraction_and_nowhere_else() -> None:
    kept, held = hold_out(toy(), fraction=0.3)
    assert (len(kept), len(held)) == (7, 3)
    assert sorted(kept.inputs[:, 0].tolist() + held.inputs[:, 0].tolist()) == list(range(10))
    assert torch.equal(hold_out(toy(), fraction=0.3)[1].inputs, held.inputs)
    assert not torch.equal(hold_out(toy(), fraction=0.3, seed=1)[1].inputs, held.inputs)


def test_the_majority_share_by_hand() -> None:
    assert majority_share(torch.tensor([2, 0, 2, 2])) == 0.75


def test_a_metric_that_nothing_measures_is_refused() -> None:
    with pytest.raises(BadInput, match="bits_per_byte"):
        dataclasses.replace(registry.load("tasks", "mnist"), metric="bits_per_byte")
