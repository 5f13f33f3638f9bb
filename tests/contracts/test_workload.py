"""The contract's own pieces: rows taken and held out, what knowing nothing gives, and what is no task."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from attnbench.errors import BadInput, Unavailable
from attnbench.workload import IGNORED, Parts, Size, Split, Task, hold_out, majority_share, take, unigram_bits
from helpers.task_data import declared


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
    assert majority_share(torch.tensor([[2, IGNORED], [IGNORED, 1]])) == 0.5


def test_the_entropy_of_what_is_asked_by_hand() -> None:
    assert unigram_bits(torch.tensor([[0, 1, IGNORED], [3, 3, IGNORED]])) == pytest.approx(1.5)
    assert unigram_bits(torch.tensor([7, 7])) == 0.0


def test_the_fingerprint_is_of_every_tensor_of_every_part() -> None:
    parts = Parts(toy(), toy(), toy())
    seen = {parts.fingerprint(), Parts(*(dataclasses.replace(split, groups=None) for split in parts)).fingerprint()}
    assert len(seen) == 1 and len(parts.fingerprint()) == 16
    for part in ("train", "validation", "test"):
        split = getattr(parts, part)
        for field in ("inputs", "targets", "padding_mask"):
            changed = getattr(split, field).clone()
            changed.view(-1)[0] = changed.view(-1)[0].logical_not()
            seen.add(dataclasses.replace(parts, **{part: dataclasses.replace(split, **{field: changed})}).fingerprint())
    assert len(seen) == 10


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "image"}, "kind is 'image'"),
        ({"metric": "perplexity"}, "metric is 'perplexity'"),
        ({"patch": None}, "or of tokens, with vocabulary="),
        ({"vocabulary": 12}, "or of tokens, with vocabulary="),
        ({"load": None, "load_hub": None, "hub": None}, "neither load= nor load_hub="),
        ({"hub": None}, "go together"),
        ({"metric": "bits_per_byte"}, "per_token=True"),
    ],
)
def test_what_is_no_task_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        dataclasses.replace(declared("mnist"), **changes)


SIZE = Size(num_layers=2, num_heads=2, head_dim=8, batch_size=4, epochs=1, lr=1e-3)
OF_TOKENS: dict[str, Any] = {"kind": "synthetic", "vocabulary": 5, "seq_len": 6, "num_classes": 3}
OF_IMAGES: dict[str, Any] = {"kind": "vision", "patch": 2, "seq_len": 6, "num_classes": 3}
BIT = torch.zeros(8, 6, dtype=torch.bool)


def task_of(parts: Any, hub: bool, **fields: Any) -> Task:
    given = {"metric": "accuracy", "target": 0.5, "citation": "here", "licence": "none", "small": SIZE, "large": SIZE}
    source: dict[str, Any] = {"load_hub": parts, "hub": "some/data"} if hub else {"load": parts}
    return Task(**{**given, **fields, **source})


def put(tensor: torch.Tensor, row: int, value: int) -> torch.Tensor:
    changed = tensor.clone()
    changed[row].fill_(value)
    return changed


def sound(fields: dict[str, Any]) -> Split:
    """Eight rows as the task declares them."""
    colours = (3,) if fields.get("channels") == 3 else ()
    inputs = torch.arange(48).view(8, 6) % 5 if "vocabulary" in fields else torch.zeros(8, 4, 6, *colours, dtype=torch.uint8)
    return Split(inputs, torch.arange(8) % 3, BIT)


FAULTS: list[tuple[dict[str, Any], Callable[[Split], Any], str]] = [
    (OF_TOKENS, lambda s: replace(s, targets=put(s.targets, 5, 3)), "row 5: class 3; expected 0 to 2"),
    (OF_TOKENS, lambda s: replace(s, targets=put(s.targets, 5, -1)), "row 5: class -1; expected 0 to 2"),
    (OF_TOKENS, lambda s: replace(s, targets=put(s.targets, 5, IGNORED)), "row 5: class -100; expected 0 to 2"),
    (OF_TOKENS, lambda s: replace(s, inputs=put(s.inputs, 2, 5)), "row 2: token 5; expected 0 to 4"),
    (OF_TOKENS, lambda s: replace(s, inputs=put(s.inputs, 2, -1)), "row 2: token -1; expected 0 to 4"),
    (OF_TOKENS, lambda s: replace(s, inputs=s.inputs.int()), r"of torch\.int32; expected \[8, 6\] of torch\.int64"),
    (OF_TOKENS, lambda s: replace(s, inputs=s.inputs[:, :5]), r"inputs \[8, 5\] of .*; expected \[8, 6\]"),
    (OF_TOKENS, lambda s: replace(s, inputs=s.inputs[:7]), r"inputs \[7, 6\] of .*; expected \[8, 6\]"),
    (OF_TOKENS, lambda s: replace(s, targets=s.targets.float()), r"targets \[8\] of torch\.float32; expected \[8\] of torch\.int64"),
    (OF_TOKENS, lambda s: replace(s, padding_mask=BIT[:, :5]), r"padding mask \[8, 5\]"),
    (OF_TOKENS, lambda s: replace(s, padding_mask=BIT.int()), r"padding mask .* of torch\.int32; expected \[8, 6\] of torch\.bool"),
    (OF_TOKENS, lambda s: take(s, torch.arange(0)), "no row; expected one at least"),
    (OF_TOKENS, lambda s: (s.inputs, s.targets), "tuple; expected a Split of tensors"),
    (OF_TOKENS, lambda s: replace(s, targets=s.targets.tolist()), "expected a Split of tensors"),
    ({**OF_TOKENS, "per_token": True}, lambda s: s, r"targets \[8\] of .*; expected \[8, 6\]"),
    ({**OF_TOKENS, "per_token": True}, lambda s: replace(s, targets=torch.full((8, 6), IGNORED)), "no position is asked"),
    ({**OF_TOKENS, "per_token": True}, lambda s: replace(s, targets=put(s.inputs % 3, 4, 9)), "row 4: class 9"),
    (OF_IMAGES, lambda s: replace(s, inputs=s.inputs.float()), r"of torch\.float32; expected 8 images .* torch\.uint8"),
    (OF_IMAGES, lambda s: replace(s, inputs=s.inputs[:, :, :5]), r"inputs \[8, 4, 5\] .*; expected 8 images of 6 patches of 2 x 2 pixels"),
    (OF_IMAGES, lambda s: replace(s, inputs=s.inputs[..., None].repeat(1, 1, 1, 3)), r"inputs \[8, 4, 6, 3\] .*, 1 channels"),
    ({**OF_IMAGES, "channels": 3}, lambda s: replace(s, inputs=s.inputs[..., 0]), r"inputs \[8, 4, 6\] .*, 3 channels"),
]


@pytest.mark.parametrize(("fields", "change", "said"), FAULTS)
@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_data_that_are_not_as_declared_are_refused(fields: dict[str, Any], change: Callable[[Split], Any], said: str, part: str) -> None:
    good = sound(fields) if not fields.get("per_token") else replace(sound(fields), targets=sound(fields).inputs % 3)
    parts = replace(Parts(good, good, good), **{part: change(sound(fields))})
    with pytest.raises(BadInput, match=f"the task's own data are not as the task declares them: {part} part, .*{said}"):
        task_of(lambda: parts, hub=False, **fields).parts("generated")
    with pytest.raises(Unavailable, match=f"the data of some/data on the hub are not as the task declares them: {part} part, .*{said}"):
        task_of(lambda: parts, hub=True, **fields).parts("hub")
    if part == "test":  # which a run that only tunes never looks at
        assert task_of(lambda: parts, hub=False, **fields).parts("generated", test=False) is parts


@pytest.mark.parametrize("fields", [OF_TOKENS, OF_IMAGES])
def test_data_as_declared_pass(fields: dict[str, Any]) -> None:
    parts = Parts(*(sound(fields) for _ in range(3)))
    assert task_of(lambda: parts, hub=False, **fields).parts("generated") is parts


def test_what_a_load_of_the_hub_stumbles_over_is_unavailable_and_said() -> None:
    def missing() -> Parts:
        raise KeyError("label")

    def full() -> Parts:
        raise RuntimeError("can't allocate memory")

    with pytest.raises(Unavailable, match=r"the data of some/data on the hub are not as the task expects: KeyError: 'label'"):
        task_of(missing, hub=True, **OF_TOKENS).parts("hub")
    with pytest.raises(KeyError):  # a fault of the task's own file
        task_of(missing, hub=False, **OF_TOKENS).parts("generated")
    with pytest.raises(RuntimeError, match="allocate"):
        task_of(full, hub=True, **OF_TOKENS).parts("hub")
    with pytest.raises(BadInput, match=r"the task's own data are a tuple; a task must load Parts"):
        task_of(lambda: (1, 2, 3), hub=False, **OF_TOKENS).parts("generated")


@pytest.mark.parametrize(
    "change", [{"num_layers": 2.0}, {"epochs": True}, {"batch_size": 2**63}, {"num_heads": 0}, {"lr": math.inf}, {"lr": "1"}]
)
def test_a_size_that_no_record_holds_exactly_is_refused(change: dict[str, Any]) -> None:
    given = {"num_layers": 2, "num_heads": 2, "head_dim": 8, "batch_size": 16, "epochs": 2, "lr": 1e-2}
    with pytest.raises(BadInput, match=f"^{next(iter(change))}=.* in a Size is a"):
        Size(**{**given, **change})


@pytest.mark.parametrize("change", [{"target": math.nan}, {"num_classes": 2.5}, {"seq_len": None}, {"epoch_rows": True}])
def test_a_number_of_a_task_that_no_record_holds_exactly_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=f"the task's {next(iter(change))} is"):
        dataclasses.replace(declared("digits"), **change)
