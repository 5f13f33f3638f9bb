"""The contract's own pieces: rows taken and held out, what knowing nothing gives, and what is no task."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch

from attnbench.errors import BadInput
from attnbench.workload import IGNORED, Parts, Size, Split, hold_out, majority_share, take, unigram_bits
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
