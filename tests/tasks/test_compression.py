"""Compression: each end of a block asks for all of its bits at once."""

from __future__ import annotations

import pytest

from attnbench.tasks import compression
from attnbench.workload import IGNORED, Parts
from helpers.task_data import declared, loaded, splits


def check(parts: Parts, tokens: int) -> None:
    """Read every row from the left, and compare what each end of a block asks with the bits since the last."""
    for split in splits(parts).values():
        for row, targets in zip(split.inputs[:800].tolist(), split.targets[:800].tolist(), strict=True):
            bits = ""
            for token, target in zip(row, targets, strict=True):
                if token == compression.END:
                    assert len(bits) == tokens and target == int(bits[::-1], 2)
                    bits = ""
                else:
                    assert target == IGNORED
                    bits += str(token)
            assert bits == "" and targets.count(IGNORED) == len(targets) - 4


def test_an_end_asks_for_the_bits_of_its_block() -> None:
    check(loaded("compression"), 6)


@pytest.mark.parametrize("tokens", [4, 10])
def test_blocks_are_as_long_as_the_parameter_says(tokens: int) -> None:
    task = declared("compression").at({"tokens": tokens})
    assert task.num_classes == 2**tokens
    check(task.parts("generated"), tokens)


def test_the_drawn_example_is_right() -> None:
    drawn = [line.split()[1:] for line in (compression.__doc__ or "").splitlines() if line.startswith("    ")]
    bits = ""
    for token, target in zip(*drawn, strict=True):
        bits = "" if token == "#" else bits + token
        assert target == "." if token != "#" else True
    blocks = " ".join(drawn[0]).replace(" ", "").split("#")[:-1]
    assert [int(block[::-1], 2) for block in blocks] == [int(target) for target in drawn[1] if target != "."]


def test_it_is_not_guessed_and_no_block_tells_another() -> None:
    train = loaded("compression").train
    answers = train.targets[train.targets != IGNORED].view(len(train), 4)
    assert answers.flatten().bincount().max() / answers.numel() < 1 / 64 + 0.002
    for bit in range(6):
        ones = (answers >> bit & 1).float()
        assert (ones.mean(0) - 0.5).abs().max() < 0.01
        assert (ones.T.corrcoef() - ones.T.corrcoef().diag().diag()).abs().max() < 0.03
