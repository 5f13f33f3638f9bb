"""Multi-query associative recall: keys with values, then each key again, whose value is asked.

    input    k1 v1 k2 v2 ... k8 v8   _ k5 _ _ k1 k7 _ ...
    target    .  .  .  . ...  .  .   . v5 . . v1 v7 . ...

The keys come again in random order at random places of the second half, one blank token (_) between; the value is asked at the place
of the key and stands nowhere behind it, so that both forms, causal or not, have to look it up. Keys and values are of two ranges of
the vocabulary, each drawn without replacement. Guessing among the values of the row gives 1 of `pairs`.

The parameter `pairs` is what has to be held at once. A mechanism whose state has a fixed size, that of a head's keys times that of its
values, holds so many pairs and no more; softmax keeps every token. Length and vocabulary grow with the pairs: 4 and 8 times as many. In
longer sequences the pairs are as many, and their keys come again farther away.

After the generator of Arora et al. 2023 (Zoology), which has 8,192 tokens, lengths of 64 to 512 and places that follow a power law;
here, with 8 pairs, 64 tokens, length 32 and uniform places, so that two layers learn it on two cores. They do since the embedding adds a
learned map of the token before (shift), as their models do by a short convolution: a value thus carries its key, and one look-up suffices.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from attnbench.tasks.loading.synthetic import Draws, generate, longer_part, within
from attnbench.workload import IGNORED, Parts, Size, Split, Task

PAIRS = 8
SEQ_LEN = 4 * PAIRS
VOCABULARY = 8 * PAIRS
BLANK = 0
SEED = 2312_04927


def keys_of(pairs: int) -> range:
    """The tokens that are keys where a row has so many pairs."""
    return range(1, 4 * pairs)


def values_of(pairs: int) -> range:
    """The tokens that are values where a row has so many pairs."""
    return range(4 * pairs, 8 * pairs)


def load(pairs: int = PAIRS) -> Parts:
    of_length = partial(draw, pairs=pairs, seq_len=4 * pairs)
    return generate(of_length, SEED, train=65_536 if pairs <= PAIRS else 32_768, validation=1_024, test=2_048)


def longer(factor: int, pairs: int = PAIRS) -> Split:
    return longer_part(partial(draw, pairs=pairs, seq_len=factor * 4 * pairs), SEED, factor, rows=1_024)


def draw(draws: Draws, rows: int, pairs: int = PAIRS, seq_len: int = SEQ_LEN) -> Split:
    keys = keys_of(pairs).start + draws.distinct(len(keys_of(pairs)), rows, pairs)
    values = values_of(pairs).start + draws.distinct(len(values_of(pairs)), rows, pairs)
    places = 2 * pairs + draws.distinct(seq_len - 2 * pairs, rows, pairs)  # of key i, in any order
    inputs = np.full((rows, seq_len), BLANK)
    inputs[:, 0 : 2 * pairs : 2] = keys
    inputs[:, 1 : 2 * pairs : 2] = values
    np.put_along_axis(inputs, places, keys, axis=1)
    targets = np.full((rows, seq_len), IGNORED)
    np.put_along_axis(targets, places, values, axis=1)
    return Split(torch.from_numpy(inputs), torch.from_numpy(targets))


def vary(pairs: int) -> dict[str, Any]:
    within("pairs", pairs, 4, 256)  # of fewer there are not enough rows that differ
    return {
        "load": partial(load, pairs),
        "longer": partial(longer, pairs=pairs),
        "num_classes": 8 * pairs,
        "vocabulary": 8 * pairs,
        "seq_len": 4 * pairs,
    }


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
    params={"pairs": PAIRS},
    grid={"pairs": (8, 16, 32, 64)},
    vary=vary,
    longer=longer,
    citation="Arora et al. 2023, Zoology: Measuring and Improving Recall in Efficient Language Models, arXiv:2312.04927",
    licence="generated; MIT, as this package",
    small=Size(num_layers=2, num_heads=4, head_dim=16, batch_size=64, epochs=8, lr=3e-3),
    large=Size(num_layers=4, num_heads=4, head_dim=32, batch_size=64, epochs=40, lr=1e-3),
)
