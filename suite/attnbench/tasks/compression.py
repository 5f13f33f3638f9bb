"""Compression: the random bits of a block, all of them, from the one token that ends it.

    input    0 1 1 0 1 0 #   1 1 0 0 0 1 #   0 0 1 0 1 1 #   1 0 1 1 1 1 #
    target   . . . . . . 22  . . . . . . 35  . . . . . . 52  . . . . . . 61

The answer at a # is its whole block, read as a binary number whose first digit is the lowest: as many classes as there are blocks that
differ, and only a block without any fault counts as right. The # is always the same token, so all bits, each with its place, have to be
brought to this one position before the last layer's MLP and the head can tell them apart. What other blocks hold is of no use; they make
rows that differ. Both forms have to do the same: behind a # there is nothing of its block.

The parameter `tokens` is the number of bits of a block.

Poli et al. 2024 (MAD), compression: there 31 tokens of a vocabulary of 15 and one token that ends them, from whose state, with a code of
the place, an MLP of its own tells each token. The models here have one answer a position and no such decoder. A question for one token, put
after the block, would be answered by looking there, past the token that should hold it: that would be recall. So here the whole block is
one answer, of one linear head: the same skill, tokens concatenated at one place, at a load of a few bits instead of 121.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from attnbench.tasks.loading.synthetic import Draws, generate, within
from attnbench.workload import IGNORED, Parts, Size, Split, Task

BITS = 6
BLOCKS = 4
END = 2
SEED = 1784_42404


def load(tokens: int = BITS) -> Parts:
    return generate(partial(draw, tokens=tokens), SEED, train=32_768, validation=1_024, test=2_048)


def draw(draws: Draws, rows: int, tokens: int = BITS) -> Split:
    bits = draws.below(2, rows, BLOCKS, tokens)
    inputs = np.full((rows, BLOCKS, tokens + 1), END)
    inputs[:, :, :tokens] = bits
    targets = np.full(inputs.shape, IGNORED)
    targets[:, :, tokens] = (bits << np.arange(tokens)).sum(2)
    return Split(torch.from_numpy(inputs.reshape(rows, -1)), torch.from_numpy(targets.reshape(rows, -1)))


def vary(tokens: int) -> dict[str, Any]:
    within("tokens", tokens, 4, 12)  # of fewer there are not enough rows that differ; more would be very many classes
    return {"load": partial(load, tokens), "num_classes": 2**tokens, "seq_len": BLOCKS * (tokens + 1)}


TASK = Task(
    kind="synthetic",
    load=load,
    metric="accuracy",
    target=0.9,
    num_classes=64,  # 2 to the power of BITS, as a plain number, which is read without an import
    per_token=True,
    causal=(False, True),
    seq_len=BLOCKS * (BITS + 1),
    vocabulary=3,
    epoch_rows=3_200,
    params={"tokens": BITS},
    grid={"tokens": (4, 6, 8, 10)},
    vary=vary,
    citation="Poli et al. 2024, Mechanistic Design and Scaling of Hybrid Architectures, arXiv:2403.17844",
    licence="generated; MIT, as this package",
    small=Size(num_layers=2, num_heads=4, head_dim=16, batch_size=64, epochs=16, lr=3e-3),
    large=Size(num_layers=4, num_heads=4, head_dim=32, batch_size=64, epochs=60, lr=1e-3),
)
