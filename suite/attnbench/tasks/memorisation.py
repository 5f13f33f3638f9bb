"""Memorisation: the values of keys that are the same in all rows, to be learnt as facts and asked after each key.

    input    k7 ? k2 ? k9 ? k2 ? ...
    target    . 4  . 1  . 6  . 1 ...

Every key has one value, and no other key has it. No row tells which: only training does, and the weights have to hold it. The mark (?)
that asks is always the same token, so a mechanism has to bring the key to it from one place before: the embedding adds no map of the token
before (no shift), with which nothing would be left for attention, and `identity` can only guess. Nothing else of a row is of use. So this
is a task of a whole model more than of its attention, and a control of the tasks of recall: what a model cannot learn even as a fact says
nothing about what its mechanism holds.

The parameter `facts` is the number of keys. Rows are of 16 keys, drawn with replacement; no row of training comes again in the test.

Poli et al. 2024 (MAD), memorization: 32 tokens as here, of vocabularies of 256 to 8,192, half of them keys and half values, and 256 rows.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attnbench.tasks.loading.synthetic import Draws, generate, within
from attnbench.workload import IGNORED, Parts, Size, Split, Task

FACTS = 256
SEQ_LEN = 32
MARK = 0
SEED = 1784_42403


def load(facts: int = FACTS) -> Parts:
    return generate(partial(draw, facts=facts), SEED, train=65_536, validation=1_024, test=2_048)


def draw(draws: Draws, rows: int, facts: int = FACTS) -> Split:
    numbers = draws.below(facts, rows, SEQ_LEN // 2)
    inputs, targets = np.full((rows, SEQ_LEN), MARK), np.full((rows, SEQ_LEN), IGNORED)
    inputs[:, 0::2] = 1 + numbers
    targets[:, 1::2] = values_of(facts)[numbers]
    return Split(torch.from_numpy(inputs), torch.from_numpy(targets))


def values_of(facts: int) -> NDArray[np.int64]:
    """The value of each key, which no other key has; [facts]."""
    return Draws(SEED, 4, facts).distinct(facts, 1, facts)[0]


def vary(facts: int) -> dict[str, Any]:
    within("facts", facts, 8, 8_192)
    return {"load": partial(load, facts), "num_classes": facts, "vocabulary": facts + 1}


TASK = Task(
    kind="synthetic",
    load=load,
    metric="accuracy",
    target=0.95,
    num_classes=FACTS,
    per_token=True,
    causal=(False, True),
    seq_len=SEQ_LEN,
    vocabulary=FACTS + 1,
    epoch_rows=3_200,
    params={"facts": FACTS},
    grid={"facts": (256, 1024, 4096)},
    vary=vary,
    citation="Poli et al. 2024, Mechanistic Design and Scaling of Hybrid Architectures, arXiv:2403.17844",
    licence="generated; MIT, as this package",
    small=Size(num_layers=2, num_heads=4, head_dim=16, batch_size=64, epochs=8, lr=3e-3),
    large=Size(num_layers=4, num_heads=4, head_dim=32, batch_size=64, epochs=40, lr=1e-3),
)
