"""Texts as rows of word tokens: 0 is padding, 1 any word outside the vocabulary."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from attnbench.workload import Parts, Split, hold_out

PADDING, UNKNOWN = 0, 1

Labelled = tuple[list[list[str]], Tensor]  # words and class of every row


def words(text: str) -> list[str]:
    """Words and numbers in lower case.

    >>> words("The state of the Union, 1790.")
    ['the', 'state', 'of', 'the', 'union', '1790']
    """
    return re.findall(r"[a-z]+|[0-9]+", text.lower())


def vocabulary(texts: Iterable[list[str]], size: int) -> dict[str, int]:
    """Token of each of the size - 2 most frequent words; of two that are as frequent, the one met first comes first."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    return {word: i for i, (word, _) in enumerate(counts.most_common(size - 2), start=2)}


def tokens(texts: Sequence[list[str]], index: dict[str, int], seq_len: int) -> Tensor:
    """Tokens [rows, seq_len] int64 of the first seq_len words of every text, padded behind."""
    rows = torch.full((len(texts), seq_len), PADDING)
    for row, text in zip(rows, texts, strict=True):
        known = [index.get(word, UNKNOWN) for word in text[:seq_len]] or [UNKNOWN]  # no row is all padding
        row[: len(known)] = torch.tensor(known)
    return rows


def classified(train: Labelled, test: Labelled, size: int, seq_len: int, held_out: float) -> Parts:
    """Parts of independent labelled texts: the share `held_out` of the training texts is for validation, the rest give the vocabulary."""
    texts, targets = train
    kept, held = (part.inputs.tolist() for part in hold_out(Split(torch.arange(len(texts)), targets), held_out))
    index = vocabulary((texts[i] for i in kept), size)

    def split(rows: Labelled) -> Split:
        inputs = tokens(rows[0], index, seq_len)
        return Split(inputs, rows[1], inputs == PADDING)

    training, validation = (split(([texts[i] for i in rows], targets[rows])) for rows in (kept, held))
    return Parts(training, validation, split(test))
