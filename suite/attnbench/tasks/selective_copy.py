"""Selective copying: data tokens scattered among noise, asked in their order at the end.

    input    . . c . . a . . . f c . . b .   > > > > >
    target                                   c a f c b

Where the data stand differs from row to row, so what is copied has to be found by content: place i of the end asks for the i-th token
that is no noise, for which their order has to be counted. Data are drawn with replacement; nothing of them stands at the end.

The parameter `copied` is the number of data tokens; rows are 6 times as long. In longer sequences as many stand among more noise.

Gu and Dao 2023 (Mamba), section 4.1.1, after the denoising task of Jing et al. 2019. They have 16 data tokens in a length of 4,096, of a
vocabulary of 16 with the noise; Poli et al. 2024 (MAD) have 16 to 96 in 256. Here are 8 in a length of 48, the last 8 of which ask, and
the mark that asks is one of the 16.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from attnbench.tasks.loading.synthetic import Draws, generate, longer_part, within
from attnbench.workload import IGNORED, Parts, Size, Split, Task

COPIED = 8
SEQ_LEN = 6 * COPIED
VOCABULARY = 16
NOISE, MARKER = 0, 1
DATA = range(2, VOCABULARY)
SEED = 2312_00752


def load(copied: int = COPIED) -> Parts:
    of_length = partial(draw, copied=copied, seq_len=6 * copied)
    return generate(of_length, SEED, train=65_536 if copied <= COPIED else 32_768, validation=1_024, test=2_048)


def longer(factor: int, copied: int = COPIED) -> Split:
    return longer_part(partial(draw, copied=copied, seq_len=factor * 6 * copied), SEED, factor, rows=1_024)


def draw(draws: Draws, rows: int, copied: int = COPIED, seq_len: int = SEQ_LEN) -> Split:
    context = seq_len - copied
    data = DATA.start + draws.below(len(DATA), rows, copied)
    places = np.sort(draws.distinct(context, rows, copied), axis=1)
    inputs = np.full((rows, seq_len), NOISE)
    inputs[:, context:] = MARKER
    np.put_along_axis(inputs, places, data, axis=1)
    targets = np.full((rows, seq_len), IGNORED)
    targets[:, context:] = data
    return Split(torch.from_numpy(inputs), torch.from_numpy(targets))


def vary(copied: int) -> dict[str, Any]:
    within("copied", copied, 4, 256)  # of fewer there are not enough rows that differ
    return {"load": partial(load, copied), "longer": partial(longer, copied=copied), "seq_len": 6 * copied}


TASK = Task(
    kind="synthetic",
    load=load,
    metric="accuracy",
    target=0.9,
    num_classes=VOCABULARY,
    per_token=True,
    causal=(False, True),
    seq_len=SEQ_LEN,
    vocabulary=VOCABULARY,
    epoch_rows=6_400,
    params={"copied": COPIED},
    grid={"copied": (4, 8, 16)},
    vary=vary,
    longer=longer,
    citation="Gu and Dao 2023, Mamba, arXiv:2312.00752; after Jing et al. 2019, Gated Orthogonal Recurrent Units, arXiv:1706.02761",
    licence="generated; MIT, as this package",
    small=Size(num_layers=3, num_heads=4, head_dim=16, batch_size=32, epochs=11, lr=3e-3),
    large=Size(num_layers=4, num_heads=4, head_dim=32, batch_size=64, epochs=60, lr=1e-3),
)
