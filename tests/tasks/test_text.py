"""Texts as words and as bytes, by hand."""

from __future__ import annotations

import torch

from attnbench.tasks.loading.chunks import chunks, draw, next_byte
from attnbench.tasks.loading.text import classified, tokens, vocabulary, words
from attnbench.workload import Split


def test_words_are_lower_case_letters_or_digits() -> None:
    assert words("It's the 2nd State of the Union -- 1790!\n") == ["it", "s", "the", "2", "nd", "state", "of", "the", "union", "1790"]
    assert words("--") == []


def test_the_vocabulary_is_the_most_frequent_words_in_the_order_met() -> None:
    texts = [["b", "a", "c"], ["a", "d", "c"], ["a"]]
    assert vocabulary(texts, size=5) == {"a": 2, "c": 3, "b": 4}


def test_tokens_are_padded_cut_and_never_all_padding() -> None:
    found = tokens([["a", "x", "c"], [], ["c"] * 9], {"a": 2, "c": 3}, seq_len=5)
    assert found.tolist() == [[2, 1, 3, 0, 0], [1, 0, 0, 0, 0], [3, 3, 3, 3, 3]]
    assert found.dtype == torch.int64


def test_only_training_texts_give_the_vocabulary() -> None:
    texts = [[f"word{i}", "common"] for i in range(20)]
    labels = torch.arange(20)
    parts = classified((texts, labels), ([["unseen", "common"]], torch.tensor([3])), size=999, seq_len=3, held_out=0.25)
    assert [len(split) for split in parts] == [15, 5, 1]
    assert sorted(parts.train.targets.tolist() + parts.validation.targets.tolist()) == list(range(20))
    common = int(parts.test.inputs[0, 1])
    assert parts.test.inputs.tolist() == [[1, common, 0]]
    assert all(row == [1, common, 0] for row in parts.validation.inputs.tolist())
    assert len({row[0] for row in parts.train.inputs.tolist()}) == 15
    assert parts.train.padding_mask is not None and parts.train.padding_mask[0].tolist() == [False, False, True]


def test_chunks_are_bytes_and_leave_out_the_rest() -> None:
    assert chunks("abcdefg", length=3, stride=3).tolist() == [[97, 98, 99], [100, 101, 102]]
    assert chunks("é!", length=3, stride=3).tolist() == [[0xC3, 0xA9, 0x21]]
    assert chunks("ab", length=3, stride=3).shape == (0, 3)


def test_the_next_byte_of_overlapping_chunks_by_hand() -> None:
    inputs, targets = next_byte(chunks("abcdefg", length=4, stride=3))
    assert inputs.tolist() == [[97, 98, 99], [100, 101, 102]]
    assert targets.tolist() == [[98, 99, 100], [101, 102, 103]]


def test_drawn_rows_are_some_of_them_and_always_the_same() -> None:
    whole = Split(torch.arange(50)[:, None], torch.arange(50), groups=tuple(map(str, range(50))))
    some = draw(whole, 7)
    assert len(some) == 7 and len(set(some.targets.tolist())) == 7
    assert some.groups == tuple(map(str, some.targets.tolist()))
    assert torch.equal(draw(whole, 7).inputs, some.inputs) and not torch.equal(draw(whole, 7, seed=1).inputs, some.inputs)
    assert len(draw(whole, 99)) == 50
