"""Noisy recall: eight keys with values strewn among noise, then each key again, whose value is asked.

    input    ~ k1 v1 ~ ~ k2 v2 k3 v3 ~ ... k8 v8 ~   k5 ~ ~ k1 k7 ~ ...
    target   .  .  . . .  .  .  .  . . ...  .  . .   v5 . . v1 v7 . ...

What is noise (~) is told by its tokens alone, which are of a range of their own and drawn with replacement: a mechanism has to learn not
to keep them. A value follows its key at once. Then the keys come again, in random order; the value is asked at the place of the key
and stands nowhere behind it, so that both forms, causal or not, have to look it up. Guessing among the values of the row gives 1/8.

The parameter `noise` is the share of the tokens that are noise. Pairs and questions are as many whatever it is; rows get longer. In
longer sequences there is more noise still.

Poli et al. 2024 (MAD), noisy in-context recall, with shares of 0.2 to 0.8 of 128 tokens, 16 tokens of noise and 16 others. There pairs
are drawn anew all along the row and a value is asked, and then shown, when its key comes again; here are the questions of multi-query
recall, which hide it. As in mqar the embedding adds a learned map of the token before (shift).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from attnbench.tasks.loading.synthetic import Draws, generate, longer_part, within
from attnbench.workload import IGNORED, Parts, Size, Split, Task

SHARE = 0.2
SEQ_LEN = 30
VOCABULARY = 64
PAIRS = 8
TOLD = 3 * PAIRS  # tokens that are no noise: keys, values, and keys again
NOISE, KEYS, VALUES = range(16), range(16, 40), range(40, VOCABULARY)
SEED = 2403_17844


def length_at(noise: float) -> int:
    """Tokens of a row of which such a share is noise: 30 at 0.2, 40 at 0.4, 60 at 0.6, 120 at 0.8."""
    return TOLD + round(TOLD * noise / (1 - noise))


def load(noise: float = SHARE) -> Parts:
    return generate(partial(draw, seq_len=length_at(noise)), SEED, train=65_536, validation=1_024, test=2_048)


def longer(factor: int, noise: float = SHARE) -> Split:
    return longer_part(partial(draw, seq_len=factor * length_at(noise)), SEED, factor, rows=1_024)


def draw(draws: Draws, rows: int, seq_len: int = SEQ_LEN) -> Split:
    keys = KEYS.start + draws.distinct(len(KEYS), rows, PAIRS)
    values = VALUES.start + draws.distinct(len(VALUES), rows, PAIRS)
    order = draws.distinct(PAIRS, rows, PAIRS)
    slots = np.sort(draws.distinct(seq_len - PAIRS, rows, 2 * PAIRS), axis=1)  # a pair takes one, as a question or a token of noise does
    first = slots[:, :PAIRS] + np.arange(PAIRS)  # every pair before one is a token more
    asked = slots[:, PAIRS:] + PAIRS
    inputs = NOISE.start + draws.below(len(NOISE), rows, seq_len)
    targets = np.full((rows, seq_len), IGNORED)
    for array, places, tokens in (
        (inputs, first, keys),
        (inputs, first + 1, values),
        (inputs, asked, np.take_along_axis(keys, order, axis=1)),
        (targets, asked, np.take_along_axis(values, order, axis=1)),
    ):
        np.put_along_axis(array, places, tokens, axis=1)
    return Split(torch.from_numpy(inputs), torch.from_numpy(targets))


def vary(noise: float) -> dict[str, Any]:
    within("noise", noise, 0.0, 0.95)
    return {"load": partial(load, noise), "longer": partial(longer, noise=noise), "seq_len": length_at(noise)}


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
    params={"noise": SHARE},
    grid={"noise": (0.2, 0.4, 0.6, 0.8)},
    vary=vary,
    longer=longer,
    citation="Poli et al. 2024, Mechanistic Design and Scaling of Hybrid Architectures, arXiv:2403.17844",
    licence="generated; MIT, as this package",
    small=Size(num_layers=2, num_heads=4, head_dim=16, batch_size=64, epochs=16, lr=3e-3),
    large=Size(num_layers=4, num_heads=4, head_dim=32, batch_size=64, epochs=60, lr=1e-3),
)
