"""What single tasks with embedded data promise."""

from __future__ import annotations

import itertools

import pytest
import torch

from attnbench.tasks.loading.sotu import addresses, part_of
from attnbench.workload import IGNORED, Split
from helpers.task_data import declared, loaded, splits


def text_of(split: Split, row: int) -> bytes:
    return bytes(split.inputs[row].tolist())


def test_sotu_lm_asks_for_the_next_byte_everywhere() -> None:
    task, parts = declared("sotu_lm"), loaded("sotu_lm")
    assert task.causal == (True,)
    for split in parts:
        assert torch.equal(split.inputs[:, 1:], split.targets[:, :-1])
        assert not (split.targets == IGNORED).any()
    train = parts.train
    assert text_of(train, 0) == b"Fellow-Citizens of the Senate and House of Representatives:\n\nIn "
    assert train.groups is not None and train.groups[0] == train.groups[1]
    assert train.targets[0, -1] == train.inputs[1, 0]  # the next chunk goes on where this one ends


def test_chunks_never_cross_two_addresses() -> None:
    """Each address gives its whole chunks, in order, and the rest of its text none."""
    train = loaded("sotu_lm").train
    assert train.groups is not None
    sizes = {name: len(list(rows)) for name, rows in itertools.groupby(train.groups)}
    texts = {name: text.encode() for part, name, _, text in addresses() if part == "train"}
    assert sizes == {name: (len(text) - 1) // 64 for name, text in texts.items()}
    last = len(train) - 1
    text = texts[train.groups[last]]
    assert text_of(train, last) == text[(sizes[train.groups[last]] - 1) * 64 :][:64]


def test_sotu_mlm_masks_what_it_asks_and_nothing_else() -> None:
    task, parts = declared("sotu_mlm"), loaded("sotu_mlm")
    assert task.vocabulary == 257 and task.num_classes == 256 and task.causal == (False,)
    for split in parts:
        asked = split.targets != IGNORED
        assert torch.equal(split.inputs == 256, asked)
        assert (asked.sum(1) == round(0.15 * task.seq_len)).all()
        share = asked.double().mean(0)  # by position: none is favoured
        assert float((share - share.mean()).abs().max()) < 5 * (0.13 / len(split)) ** 0.5
    plain = parts.train.inputs.where(parts.train.targets == IGNORED, parts.train.targets)
    assert bytes(plain[0].tolist()) == b"Fellow-Citizens of the Senate and House of Representatives:\n\nIn "


@pytest.mark.parametrize("name", ["sotu_lm", "sotu_mlm"])
def test_evaluated_chunks_are_of_all_addresses_of_their_part(name: str) -> None:
    parts = splits(loaded(name))
    assert [len(parts[part]) for part in ("validation", "test")] == [2048, 16384]
    for part, least in (("train", 160), ("validation", 25), ("test", 35)):
        groups = parts[part].groups
        assert groups is not None and {part_of(group) for group in groups} == {part} and len(set(groups)) >= least


def test_digits_are_split_by_class_and_use_the_whole_range() -> None:
    parts = loaded("digits")
    assert sum(len(split) for split in parts) == 1797
    for split, share in zip(parts, (0.7, 0.1, 0.2), strict=True):
        counts = split.targets.bincount()
        assert int(counts.max() - counts.min()) <= 6
        assert len(split) == pytest.approx(1797 * share, rel=0.03)
    assert parts.train.inputs.unique().tolist() == [count * 255 // 16 for count in range(17)]


def test_the_data_of_a_task_stay_what_they_are() -> None:
    """Records of one protocol are compared: the tensors may not change with the code that makes them."""
    assert loaded("sotu_era").fingerprint() == "de2bb2c6ea18fdd1"
    assert loaded("mnist").fingerprint() == "c0b2228531befab8"
