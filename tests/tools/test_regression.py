"""What a regression is told of a row, by hand; tools/controls.py fits it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from _regression import HALF_DECADES, LONGEST_N_GRAM, START, _walk, at_places, counts, n_grams, pixels
from attnbench.workload import Parts, Split

pytest.importorskip("sklearn", reason="scikit-learn is not installed; it is in the group `test`")
ROWS = Split(torch.tensor([[1, 2, 1, 0], [2, 2, 2, 0]]), torch.tensor([0, 1]), torch.tensor([[False, False, False, True]] * 2))


def test_counts_leave_padding_out() -> None:
    assert counts(ROWS, 3).toarray().tolist() == [[0, 2, 1], [0, 0, 3]]


def test_a_token_at_a_place_has_a_column() -> None:
    assert at_places(ROWS, 3).toarray().nonzero()[1].reshape(2, 3).tolist() == [[1, 5, 7], [2, 5, 8]]


def test_pixels_are_from_0_to_1() -> None:
    images = Split(torch.tensor([[[0, 255], [51, 0]]], dtype=torch.uint8), torch.tensor([0]))
    assert pixels(images).tolist() == [pytest.approx([0, 1, 0.2, 0])]


def test_n_grams_are_counted_wherever_they_stand() -> None:
    """The row 5 6 5 6 has of each length: 5, 6 twice; 5 6 twice, 6 5; 5 6 5, 6 5 6; itself. With two of its bytes padded: 5, 6; 5 6."""
    whole, padded = torch.tensor([[5, 6, 5, 6]]), torch.tensor([[False, False, True, True]])
    assert sorted(n_grams(Split(whole, torch.tensor([0]))).data.tolist()) == [1, 1, 1, 1, 2, 2, 2]
    assert n_grams(Split(whole, torch.tensor([0]), padded)).data.tolist() == [1, 1, 1]
    assert LONGEST_N_GRAM == 4


def test_no_n_gram_is_another_that_begins_with_zeros() -> None:
    rows = Split(torch.tensor([[0, 0], [0, 7]]), torch.tensor([0, 1]))
    assert n_grams(rows).sum() == 6
    assert n_grams(rows).toarray().any(0).sum() == 4  # 0, 7, 0 0 and 0 7


def test_the_strength_is_chosen_as_far_as_the_loss_falls() -> None:
    """Classes that pixels tell apart without a fault want the least regularisation, and classes of chance the most."""
    draw = torch.Generator().manual_seed(0)

    def part(rows: int, told: bool) -> Split:
        images = torch.randint(0, 256, (rows, 2, 2), dtype=torch.uint8, generator=draw)
        return Split(images, (images[:, 0, 0] > 127).long() if told else torch.randint(0, 2, (rows,), generator=draw))

    for told, falls in ((True, 1), (False, -1)):
        tried: list[str] = []
        found: Any = _walk("pixels", "", pixels, Parts(part(200, told), part(100, told), part(9, told)), tried.append)
        assert (found.c > HALF_DECADES[START]) - (found.c < HALF_DECADES[START]) == falls
        assert len(tried) > 3
