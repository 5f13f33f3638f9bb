"""Which answers of a text stand in the sequence already and are not what is frequent: what is to be recalled, not known."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attnbench.workload import Parts, Split

CONTEXT = 5  # bytes before an answer
ROWS = 256  # at once, of which all pairs of positions are compared

Whole = NDArray[np.int64]


def recalled_bytes(parts: Parts) -> Tensor:
    """The positions of the test part, [rows, seq_len] bool, whose next byte followed the same five bytes before in the row, where another
    byte is the most frequent after these five in the training part, or they never occur in it.

    A model of frequencies is wrong at all of them, and one that looks the five bytes up in what it has read is right at all of them. After
    the associative recall hits of Arora et al. 2023, arXiv 2312.04927.
    """
    known, usual = _usual(parts.train)
    codes, answers = _contexts(parts.test)
    place = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    is_told = (known[place] == codes) & (usual[place] == answers)
    found = torch.zeros(parts.test.inputs.shape, dtype=torch.bool)
    found[:, CONTEXT - 1 :] = torch.from_numpy(_stood_before(codes, answers) & ~is_told)
    return found


def _contexts(split: Split) -> tuple[Whole, Whole]:
    """The last five bytes at every position that has so many in its row, as one number each, and the byte that follows.

    Both [rows, positions].
    """
    windows = split.inputs.unfold(1, CONTEXT, 1).numpy()
    weights = 256 ** np.arange(CONTEXT)[::-1]
    return windows @ weights, split.targets[:, CONTEXT - 1 :].numpy()


def _usual(train: Split) -> tuple[Whole, Whole]:
    """Every context of the training part, in order, and the byte that follows it most often, the smallest of equals."""
    codes, answers = _contexts(train)
    pairs, counts = np.unique(codes.ravel() * 256 + answers.ravel(), return_counts=True)
    order = np.lexsort((pairs, -counts, pairs // 256))
    contexts, first = np.unique(pairs[order] // 256, return_index=True)
    return contexts, pairs[order][first] % 256


def _stood_before(codes: Whole, answers: Whole) -> NDArray[np.bool_]:
    """Whether the same context was followed by the same byte at an earlier position of the row."""
    whole = torch.from_numpy(codes * 256 + answers)
    earlier = torch.ones(whole.shape[1], whole.shape[1], dtype=torch.bool).tril(-1)
    found = [((rows[:, :, None] == rows[:, None, :]) & earlier).any(2) for rows in whole.split(ROWS)]
    return torch.cat(found).numpy()
