"""Memorisation: one map in all rows, and nothing in a row that tells it."""

from __future__ import annotations

import torch

from attnbench.workload import IGNORED, Split
from helpers.task_data import declared, loaded, splits


def facts(split: Split) -> dict[int, int]:
    """The value of every key that a split asks; fails where a key has two."""
    pairs = {*zip(split.inputs[:, 0::2].flatten().tolist(), split.targets[:, 1::2].flatten().tolist(), strict=True)}
    assert len({key for key, _ in pairs}) == len(pairs)
    return dict(pairs)


def test_every_key_has_one_value_and_it_is_the_same_in_all_parts() -> None:
    parts = splits(loaded("memorisation"))
    train = facts(parts["train"])
    assert set(train) == set(range(1, 257)) and set(train.values()) == set(range(256))
    assert all(facts(parts[part]) == train for part in ("validation", "test"))


def test_keys_alternate_with_the_mark_that_asks() -> None:
    for split in splits(loaded("memorisation")).values():
        assert (split.inputs[:, 1::2] == 0).all() and (split.targets[:, 0::2] == IGNORED).all()
        assert (split.inputs[:, 0::2] > 0).all() and (split.targets[:, 1::2] != IGNORED).all()


def test_it_is_not_guessed() -> None:
    train = loaded("memorisation").train
    asked = train.targets[:, 1::2]
    assert asked.flatten().bincount().max() / asked.numel() < 1 / 256 + 0.0005
    key, value = train.inputs[:, 0::2].flatten().float(), asked.flatten().float()
    assert torch.corrcoef(torch.stack([key, value]))[0, 1].abs() < 0.3  # the map is in no order


def test_maps_of_other_sizes_are_other_maps() -> None:
    found = facts(declared("memorisation").at({"facts": 1024}).parts("generated").test)
    assert len(found) == len(set(found.values())) == 1024
    smaller = facts(loaded("memorisation").train)
    assert sum(found[key] == value for key, value in smaller.items()) < 10
