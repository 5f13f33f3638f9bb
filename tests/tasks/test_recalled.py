"""Which bytes are to be recalled: those that followed the same five bytes before, and that frequencies would not tell."""

from __future__ import annotations

import torch

from attnbench.tasks.loading.chunks import next_byte
from attnbench.tasks.loading.recalled import recalled_bytes
from attnbench.workload import Parts, Split
from helpers.task_data import declared, loaded


def split(*texts: str) -> Split:
    rows = torch.tensor([list(text.encode()) for text in texts])
    return Split(*next_byte(rows))


def recalled(train: str, test: str) -> list[str]:
    """The bytes of the test text that are to be recalled, each with all before it."""
    parts = Parts(split(train), split(train), split(test))
    (mask,) = recalled_bytes(parts)
    return [test[: place + 2] for place in mask.nonzero().flatten().tolist()]


def test_what_stood_there_before_is_to_be_recalled() -> None:
    assert [text[13:] for text in recalled("x" * 22, "the cat sat; the cat s")] == ["the ca", "the cat", "the cat ", "the cat s"]


def test_what_is_usual_after_five_bytes_need_not_be_recalled() -> None:
    """After "e cat" a blank is what the training part has."""
    assert recalled("a the cat a the cat ran", "the cat sat; the cat sa") == ["the cat sat; the cat s", "the cat sat; the cat sa"]


def test_what_followed_otherwise_before_is_not_to_be_recalled() -> None:
    assert [text[13:] for text in recalled("x" * 22, "the cat sat; the cats.")] == ["the ca", "the cat"]


def test_the_task_asks_for_recall_at_some_places_and_never_in_its_training() -> None:
    task, parts = declared("sotu_lm"), loaded("sotu_lm")
    assert task.recalled is not None
    mask = task.recalled(parts)
    assert mask.shape == parts.test.inputs.shape and 500 < int(mask.sum()) < 5000
    assert not mask[:, :5].any()  # the first that can have followed five bytes before


def test_longer_chunks_are_the_same_test_addresses() -> None:
    task = declared("sotu_lm")
    assert task.longer is not None
    own, double = loaded("sotu_lm").test, task.longer(2)
    assert double.inputs.shape == (len(own) // 2, 128) and own.groups and double.groups
    assert set(double.groups) <= set(own.groups)
    assert task.at({"seq_len": 256}).epoch_rows == 1024  # as many bytes an epoch
