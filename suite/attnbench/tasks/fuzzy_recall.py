"""Fuzzy recall: six keys with values, of one token or more each, then each key again, whose value is asked.

    input    a b x y   b z   c a x   ...   b _   a b x _   c a _   ...
    target   . . . .   . .   . . .   ...   z .   . . y .   . x .   ...

Keys share tokens: b alone is another key than b after a, so adjacent tokens have to be taken together, as many as the key has. Tokens of
keys and of values are of two ranges of the vocabulary, which tells where a key ends. A question shows its key and the first tokens of
its value, none perhaps; the next one is asked, and blanks (_) stand for it and the rest. Nothing behind the question tells it, so that
both forms, causal or not, have to look it up. Whoever looks at the last token alone is right in five cases of six.

The parameter `tokens` is the most that a key or a value has; there are as many of each number in every row, in any order. With 1 it is
multi-query recall.

Poli et al. 2024 (MAD), fuzzy in-context recall, up to 3 tokens of 7 for keys and of 7 for values in a length of 128. There a key comes
again anywhere and the whole of its value is asked, and shown, token by token; here one token of it is asked and hidden. The embedding adds
a learned map of the token before (shift), as in mqar, but a value then carries only the last token of its key. With that alone softmax
stays at 0.89 in 5,000 steps (4 layers: in 1,200); with the model's token_shift in every layer it comes to 0.99 in 200.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attnbench.tasks.loading.synthetic import Draws, generate, within
from attnbench.workload import IGNORED, Parts, Size, Split, Task

Ints = NDArray[np.int64]

PAIRS = 6  # a multiple of every number of tokens
TOKENS = 2
SEQ_LEN = 2 * PAIRS * (TOKENS + 1)
VOCABULARY = 25
BLANK = 0
KEYS, VALUES = range(1, 9), range(9, VOCABULARY)
SEED = 1784_42405


def load(tokens: int = TOKENS) -> Parts:
    return generate(partial(draw, tokens=tokens), SEED, train=65_536, validation=1_024, test=2_048)


def draw(draws: Draws, rows: int, tokens: int = TOKENS) -> Split:
    lengths = 1 + np.stack([draws.distinct(PAIRS, rows, PAIRS) % tokens for _ in range(2)], axis=2)  # of keys and values
    keys = distinct_keys(draws, lengths[:, :, 0], tokens)
    values = VALUES.start + motifs(draws, len(VALUES), rows, tokens)
    told = joined(np.stack([keys, values], axis=2), lengths)
    order = draws.distinct(PAIRS, rows, PAIRS)[:, :, None]
    lengths, keys, values = (np.take_along_axis(of, order, axis=1) for of in (lengths, keys, values))
    asked = (draws.below(PAIRS, rows, PAIRS) % lengths[:, :, 1])[:, :, None]  # which token of the value
    place = np.arange(tokens)
    questions = joined(np.stack([keys, np.where(place < asked, values, BLANK)], axis=2), lengths)
    answers = joined(np.stack([np.full_like(keys, IGNORED), np.where(place == asked, values, IGNORED)], axis=2), lengths)
    inputs = np.concatenate([told, questions], axis=1)
    targets = np.full_like(inputs, IGNORED)
    targets[:, told.shape[1] - 1 : -1] = answers  # asked at the token before
    return Split(torch.from_numpy(inputs), torch.from_numpy(targets))


def motifs(draws: Draws, vocabulary: int, rows: int, tokens: int) -> Ints:
    """So many tokens for each pair, none twice in one motif, each in 0 ... vocabulary - 1; [rows, PAIRS, tokens]."""
    return draws.distinct(vocabulary, rows * PAIRS, tokens).reshape(rows, PAIRS, tokens)


def distinct_keys(draws: Draws, lengths: Ints, tokens: int) -> Ints:
    """Keys, [rows, PAIRS, tokens], of which the first `lengths` tokens count. No key is twice in a row; one may be a part of another."""
    keys = KEYS.start + motifs(draws, len(KEYS), len(lengths), tokens)
    while len(again := np.flatnonzero(has_twice(keys, lengths))):
        keys[again] = KEYS.start + motifs(draws, len(KEYS), len(again), tokens)
    return keys


def has_twice(keys: Ints, lengths: Ints) -> NDArray[np.bool_]:
    """Whether a key is twice in a row; [rows]."""
    place = np.arange(keys.shape[2])
    numbers = np.sort(np.where(place < lengths[:, :, None], keys * KEYS.stop**place, 0).sum(2), axis=1)
    return (numbers[:, 1:] == numbers[:, :-1]).any(1)


def joined(parts: Ints, lengths: Ints) -> Ints:
    """What stands in a row, one part after the other, of each its first `lengths` tokens; [rows, tokens]."""
    return parts[np.arange(parts.shape[-1]) < lengths[..., None]].reshape(len(parts), -1)


def vary(tokens: int) -> dict[str, Any]:
    within("tokens", tokens, 1, 3)
    return {"load": partial(load, tokens), "seq_len": 2 * PAIRS * (tokens + 1)}


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
    params={"tokens": TOKENS},
    grid={"tokens": (1, 2, 3)},
    vary=vary,
    citation="Poli et al. 2024, Mechanistic Design and Scaling of Hybrid Architectures, arXiv:2403.17844",
    licence="generated; MIT, as this package",
    small=Size(num_layers=2, num_heads=4, head_dim=16, batch_size=64, epochs=16, lr=3e-3),
    large=Size(num_layers=4, num_heads=4, head_dim=32, batch_size=64, epochs=60, lr=1e-3),
)
