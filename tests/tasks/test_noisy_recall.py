"""Noisy recall, held against a solver of its own."""

from __future__ import annotations

import pytest
import torch

from attnbench.errors import BadInput
from attnbench.tasks import noisy_recall
from attnbench.workload import IGNORED, Split
from helpers.task_data import declared, loaded, splits

NOISE, KEYS, VALUES = set(range(16)), set(range(16, 40)), set(range(40, 64))


def solved(row: list[int]) -> tuple[list[int], dict[int, int]]:
    """The targets of a row and its pairs, found by reading it from the left: a key is followed by its value, or comes again alone."""
    pairs: dict[int, int] = {}
    targets = []
    for place, token in enumerate(row):
        again = token in pairs
        targets.append(pairs[token] if again else IGNORED)
        if token in KEYS and not again:
            pairs[token] = row[place + 1]
    return targets, pairs


def test_it_is_a_look_up_among_noise() -> None:
    for split in splits(loaded("noisy_recall")).values():
        for row, targets in zip(split.inputs[:800].tolist(), split.targets[:800].tolist(), strict=True):
            found, pairs = solved(row)
            assert found == targets
            assert len(pairs) == len(set(pairs.values())) == 8 and set(pairs.values()) <= VALUES
            assert [sum(token in kind for token in row) for kind in (NOISE, KEYS, VALUES)] == [6, 16, 8]


def test_the_questions_follow_all_pairs() -> None:
    split = loaded("noisy_recall").test
    values, asked = (split.inputs >= 40), split.targets != IGNORED
    places = torch.arange(split.inputs.shape[1])
    assert (torch.where(values, places, -1).amax(1) < torch.where(asked, places, 99).amin(1)).all()


def test_it_is_not_guessed() -> None:
    train = loaded("noisy_recall").train
    answers = train.targets[train.targets != IGNORED].view(len(train), 8)
    values = train.inputs[train.inputs >= 40].view(len(train), 8)
    assert answers.flatten().bincount().max() / answers.numel() < 0.045  # of 24 values
    assert ((answers[:, :, None] == values[:, None]).float().mean(0) - 1 / 8).abs().max() < 0.01  # any question may be of any pair
    noise = (train.inputs < 16).float().mean(0)
    assert noise.min() > 0.02 and (train.inputs[train.inputs < 16].bincount() / (6 * len(train)) - 1 / 16).abs().max() < 0.002


@pytest.mark.parametrize(("noise", "seq_len"), [(0.0, 24), (0.2, 30), (0.4, 40), (0.6, 60), (0.8, 120)])
def test_the_share_of_noise_is_what_the_parameter_says(noise: float, seq_len: int) -> None:
    task = declared("noisy_recall").at({"noise": noise})
    assert task.seq_len == noisy_recall.length_at(noise) == seq_len
    assert task.load is not None and task.longer is not None
    split: Split = task.longer(1)
    assert (split.inputs < 16).float().mean().item() == pytest.approx(noise)
    assert all(solved(row)[0] == targets for row, targets in zip(split.inputs.tolist(), split.targets.tolist(), strict=True))


def test_in_longer_rows_the_pairs_are_as_many() -> None:
    longer = declared("noisy_recall").longer
    assert longer is not None
    for row, targets in zip(longer(4).inputs[:200].tolist(), longer(4).targets[:200].tolist(), strict=True):
        found, pairs = solved(row)
        assert found == targets and len(pairs) == 8 and len(row) == 120


@pytest.mark.parametrize("noise", [-0.1, 0.99, float("nan"), float("inf")])
def test_a_share_that_is_none_is_refused(noise: float) -> None:
    with pytest.raises(BadInput, match=r"noise is .*; give a number from 0\.0 to 0\.95"):
        declared("noisy_recall").at({"noise": noise})
