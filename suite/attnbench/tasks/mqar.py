"""Multi-query associative recall: eight keys with values, then each key again, whose value is asked.

    input    k1 v1 k2 v2 ... k8 v8   _ k5 _ _ k1 k7 _ ...
    target    .  .  .  . ...  .  .   . v5 . . v1 v7 . ...

The keys come again in random order at random places of the second half, one blank token (_) between; the value is asked at the place
of the key and stands nowhere behind it, so that both forms, causal or not, have to look it up. Keys and values are of two ranges of
the vocabulary, each drawn without replacement. Guessing among the values of the row gives 1/8.

After the generator of Arora et al. 2023 (Zoology), which has 8,192 tokens, lengths of 64 to 512 and places that follow a power law;
here 64 tokens, length 32 and uniform places, so that two layers learn it on two cores. They do since the embedding adds a learned map
of the token before (shift), as their models do by a short convolution: a value thus carries its key, and one look-up suffices.
"""

from __future__ import annotations

import numpy as np
import torch

from attnbench.tasks.loading.synthetic import Draws, generate
from attnbench.workload import IGNORED, Parts, Size, Split, Task

PAIRS = 8
SEQ_LEN = 32
VOCABULARY = 64
BLANK = 0
KEYS = range(1, VOCABULARY // 2)
VALUES = range(VOCABULARY // 2, VOCABULARY)
SEED = 2312_04927


def load() -> Parts:
    return generate(draw, SEED, train=65_536, validation=1_024, test=2_048)


def draw(draws: Draws, rows: int) -> Split:
    keys = KEYS.start + draws.distinct(len(KEYS), rows, PAIRS)
    values = VALUES.start + draws.distinct(len(VALUES), rows, PAIRS)
    places = 2 * PAIRS + draws.distinct(SEQ_LEN - 2 * PAIRS, rows, PAIRS)  # of key i, in any order
    inputs = np.full((rows, SEQ_LEN), BLANK)
    inputs[:, 0 : 2 * PAIRS : 2] = keys
    inputs[:, 1 : 2 * PAIRS : 2] = values
    np.put_along_axis(inputs, places, keys, axis=1)
    targets = np.full((rows, SEQ_LEN), IGNORED)
    np.put_along_axis(targets, places, values, axis=1)
    return Split(torch.from_numpy(inputs), torch.from_numpy(targets))


TASK = Task(
    kind="synthetic",
    load=load,
    metric="accuracy",
    target=0.95,
    num_classes=VOCABULARY,
    per_token=True,
    causal=(False, True),
    seq_len=SEQ_LEN,
    vocabulary=VOCABULARY,
    shift=True,
    epoch_rows=3_200,
    citation="Arora et al. 2023, Zoology: Measuring and Improving Recall in Efficient Language Models, arXiv:2312.04927",
    licence="generated; MIT, as this package",
    small=Size(num_layers=2, num_heads=4, head_dim=16, batch_size=64, epochs=8, lr=3e-3),
    large=Size(num_layers=4, num_heads=4, head_dim=32, batch_size=64, epochs=40, lr=1e-3),
)
