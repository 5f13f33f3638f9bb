"""Texts as chunks of their UTF-8 bytes, for tasks that predict bytes: vocabulary 256, nothing normalised."""

from __future__ import annotations

import torch
from torch import Tensor

from attnbench.workload import Split, take

VALUES = 256


def chunks(text: str, length: int, stride: int) -> Tensor:
    """Bytes [chunks, length] int64 of a text; the rest that fills no chunk is left out.

    >>> chunks("abcde", length=3, stride=2).tolist()
    [[97, 98, 99], [99, 100, 101]]
    """
    data = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
    return data.unfold(0, length, stride).long() if len(data) >= length else torch.empty(0, length, dtype=torch.int64)


def next_byte(chunk: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs and targets, both [rows, seq_len], of chunks [rows, seq_len + 1]: the target is the byte that follows."""
    return chunk[:, :-1].contiguous(), chunk[:, 1:].contiguous()


def draw(split: Split, rows: int, seed: int = 0) -> Split:
    """At most `rows` rows of a split, drawn without replacement."""
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    return take(split, order[:rows])
