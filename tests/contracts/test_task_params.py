"""A task at other difficulties, and the blocks of its test rows."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from attnbench.errors import BadInput
from attnbench.workload import IGNORED, Split, Task, asked_by_block, block_of_rows
from helpers.task_data import declared


def vary(pairs: int, kind: str) -> dict[str, Any]:
    if pairs < 1:
        raise BadInput("pairs must be at least 1")
    return {"seq_len": 2 * pairs, "metric": "accuracy" if kind == "plain" else "bits_per_byte"}


def posed(**fields: Any) -> Task:
    given = {"params": {"pairs": 4, "kind": "plain"}, "grid": {"pairs": (4, 8)}, "vary": vary, "seq_len": 8, "per_token": True}
    return dataclasses.replace(declared("sotu_lm"), **{**given, **fields})


def test_a_task_has_the_parameters_that_are_given_and_its_defaults() -> None:
    assert posed().at({}).seq_len == 8
    harder = posed().at({"pairs": 16})
    assert (harder.seq_len, harder.params, harder.metric) == (32, {"pairs": 16, "kind": "plain"}, "accuracy")
    assert posed().at({"kind": "other"}).metric == "bits_per_byte"
    assert declared("digits").at({}) is declared("digits")


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"pair": 16}, "unknown parameter of the task 'pair'.*it has pairs, kind"),
        ({"pairs": "16"}, "pairs is '16', a str; give a int"),
        ({"pairs": True}, "pairs is True, a bool"),
        ({"pairs": 0}, "pairs must be at least 1"),
    ],
)
def test_what_a_task_cannot_be_asked_is_refused_by_name(params: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        posed().at(params)
    with pytest.raises(BadInput, match="it has none"):
        declared("digits").at({"pairs": 1})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"vary": None}, "go together"),
        ({"params": {}, "grid": {}}, "go together"),
        ({"grid": {"other": (1,)}}, "the task's grid has other, which is none of its params"),
        ({"grid": {"pairs": (8, 16)}}, "without its default 4"),
        ({"params": {"pairs": [4], "kind": "plain"}, "grid": {}}, r"pairs is \[4\], a list"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        posed(**fields)


@pytest.mark.parametrize(("name", "params", "seq_len"), [("mnist", {"patch": 2}, 196), ("fashion_mnist", {"patch": 1}, 784)])
def test_smaller_patches_are_longer_sequences_of_the_same_images(name: str, params: dict[str, Any], seq_len: int) -> None:
    task = declared(name).at(params)
    assert (task.seq_len, task.patch) == (seq_len, params["patch"])
    parts = task.parts("embedded")
    assert parts.fingerprint() == declared(name).parts("embedded").fingerprint()
    with pytest.raises(BadInput, match="it must divide the side of an image"):
        declared(name).at({"patch": 3})


def rows(count: int, groups: tuple[str, ...] | None = None) -> Split:
    targets = torch.arange(count)[:, None].repeat(1, 3)
    targets[::2, 0] = IGNORED
    return Split(torch.zeros(count, 3, dtype=torch.int64), targets, None, groups)


def test_rows_without_groups_are_dealt_out_evenly_and_always_alike() -> None:
    blocks = block_of_rows(rows(1000), most=64)
    counts = blocks.bincount()
    assert len(counts) == 64 and int(counts.max() - counts.min()) == 1
    assert torch.equal(blocks, block_of_rows(rows(1000), most=64))
    assert blocks.tolist() != sorted(blocks.tolist())  # rows may lie in the order of their classes
    assert block_of_rows(rows(5), most=64).bincount().tolist() == [1] * 5


def test_groups_stay_whole_and_blocks_are_about_as_large() -> None:
    names = tuple(f"address {n % 40}" if n < 960 else "long" for n in range(1000))
    blocks = block_of_rows(rows(1000, names), most=8)
    for name in set(names):
        assert len({int(blocks[i]) for i in range(1000) if names[i] == name}) == 1
    assert int(blocks.bincount().max()) <= 1.3 * 1000 / 8
    few = block_of_rows(rows(9, ("a", "b", "c") * 3), most=64)
    assert few.bincount().tolist() == [3, 3, 3]


def test_what_is_asked_in_each_block_is_counted() -> None:
    split = rows(10)
    blocks = torch.arange(10) % 2
    assert asked_by_block(split, blocks).tolist() == [10.0, 15.0]
    assert asked_by_block(Split(split.inputs, torch.arange(10)), blocks).tolist() == [5.0, 5.0]
