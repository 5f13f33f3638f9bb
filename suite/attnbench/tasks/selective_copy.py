"""Selective copying: eight data tokens scattered among noise, asked in their order at the end.

    input    . . c . . a . . . f c . . b .   > > > > >
    target                                   c a f c b

Where the data stand differs from row to row, so what is copied has to be found by content: place i of the end asks for the i-th token
that is no noise, for which their order has to be counted. Data are drawn with replacement; nothing of them stands at the end.

Gu and Dao 2023 (Mamba), section 4.1.1, after the denoising task of Jing et al. 2019. They have 16 data tokens in a length of 4,096, of a
vocabulary of 16 with the noise; here are 8 in a length of 48, the last 8 of which ask, and the mark that asks is one of the 16.
"""

from __future__ import annotations

import numpy as np
import torch

from attnbench.tasks.loading.synthetic import Draws, generate
from attnbench.workload import IGNORED, Parts, Size, Split, Task

SEQ_LEN = 48  # a plain number, which is read without an import
COPIED = 8
CONTEXT = SEQ_LEN - COPIED
VOCABULARY = 16
NOISE, MARKER = 0, 1
DATA = range(2, VOCABULARY)
SEED = 2312_00752


def load() -> Parts:
    return generate(draw, SEED, train=65_536, validation=1_024, test=2_048)


def draw(draws: Draws, rows: int) -> Split:
    data = DATA.start + draws.below(len(DATA), rows, COPIED)
    places = np.sort(draws.distinct(CONTEXT, rows, COPIED), axis=1)
    inputs = np.full((rows, SEQ_LEN), NOISE)
    inputs[:, CONTEXT:] = MARKER
    np.put_along_axis(inputs, places, data, axis=1)
    targets = np.full((rows, SEQ_LEN), IGNORED)
    targets[:, CONTEXT:] = data
    return Split(torch.from_numpy(inputs), torch.from_numpy(targets))


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
    citation="Gu and Dao 2023, Mamba, arXiv:2312.00752; after Jing et al. 2019, Gated Orthogonal Recurrent Units, arXiv:1706.02761",
    licence="generated; MIT, as this package",
    small=Size(num_layers=2, num_heads=4, head_dim=16, batch_size=64, epochs=6, lr=3e-3),
    large=Size(num_layers=4, num_heads=4, head_dim=32, batch_size=64, epochs=60, lr=1e-3),
)
