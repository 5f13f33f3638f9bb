"""Decaying sums with a decay for each key dimension, in chunks: out_i = q_i . S_i, S_i = diag(e^{g_i}) S_{i-1} + k_i v_i^T.

A pair weighs sum_d q_id k_jd e^{g_{j+1,d} + ... + g_id}, which is no product of queries and keys: e^{-G_j} would overflow. Yang et al.
2023, arXiv 2312.06635, cut a chunk into blocks, and take the decays relative to the start of the row's block. Here blocks are halved
down to single tokens. The rows of the second half of a block see the keys of its first half through the boundary between them,

    (q_i e^{from the boundary to i}) . (k_j e^{from j to the boundary}),

a plain product whose exponents are never positive for g <= 0, however strong the decay. All pairs of a chunk are reached so, from blocks of
two tokens up to the chunk; the diagonal does not decay. The sums of g from the start of a block to a token, and from a token to the end of
the block, grow with the blocks, by one addition each time: no difference of large sums is taken, forward or backward.

The functions take some whole chunks and the state before them; see decay_sums.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from attnbench.kernels.chunk_states import State, states_before, states_before_backward

Tokens = Float[Tensor, "batch heads tokens _"]
LogDecay = Float[Tensor, "#batch heads tokens key_dim"]
Halves = Float[Tensor, "batch heads blocks half _"]

CHUNK = {"cpu": 32, "cuda": 64}  # tokens, a power of two. On the CPU measured, of 16, 32, 64 and 128


def forward(q: Tokens, k: Tokens, v: Tokens, log_decay: LogDecay, chunk: int, first: State) -> tuple[Tokens, State]:
    """The sums, and the state after the last token."""
    out = (q * k).sum(-1, keepdim=True) * v
    sums = _Sums(log_decay)
    for half in _halves(chunk):
        from_boundary, to_boundary = sums.grow(half)
        (_, q_), (k_, _), (v_, _), (_, out_) = _halved(half, q, k, v, out)
        rows, keys = q_ * from_boundary, k_ * to_boundary
        # A product of single tokens is a sum.
        out_ += (rows * keys).sum(-1, keepdim=True) * v_ if half == 1 else (rows @ keys.mT) @ v_
    start, end, whole = sums.of_chunks(chunk)
    q, k, v = (x.unflatten(2, (-1, chunk)) for x in (q, k, v))
    before, last = states_before((k * end).mT @ v, whole, first)
    out += ((q * start) @ before).flatten(2, 3)
    return out, last


def backward(
    q: Tokens,
    k: Tokens,
    v: Tokens,
    log_decay: LogDecay,
    chunk: int,
    first: State,
    d_out: Tokens,
    d_last: State,
    of_decay: bool,
) -> tuple[Tokens, Tokens, Tokens, Tokens | None, State]:
    """The gradients by q, k, v, log_decay (where asked for) and the first state, from those by what `forward` gives."""
    d_diagonal = (d_out * v).sum(-1, keepdim=True)
    d_q, d_k, d_v = d_diagonal * k, d_diagonal * q, (q * k).sum(-1, keepdim=True) * d_out
    sums = _Sums(log_decay)
    d_blocks = []
    for half in _halves(chunk):
        from_boundary, to_boundary = sums.grow(half)
        (_, q_), (k_, _), (v_, _), (_, d_out_) = _halved(half, q, k, v, d_out)
        (_, d_q_), (d_k_, _), (d_v_, _) = _halved(half, d_q, d_k, d_v)
        rows, keys = q_ * from_boundary, k_ * to_boundary
        d_weights = d_out_ @ v_.mT
        d_rows, d_keys = d_weights @ keys, d_weights.mT @ rows
        d_v_ += (keys @ rows.mT) @ d_out_
        d_q_.addcmul_(d_rows, from_boundary)
        d_k_.addcmul_(d_keys, to_boundary)
        d_blocks.append((half, d_rows.mul_(rows), d_keys.mul_(keys)))

    start, end, whole = sums.of_chunks(chunk)
    q, k, v, d_out = (x.unflatten(2, (-1, chunk)) for x in (q, k, v, d_out))
    rows, keys = q * start, k * end
    before, _ = states_before(keys.mT @ v, whole, first)
    d_added, d_first = states_before_backward(rows.mT @ d_out, d_last, whole)
    d_rows, d_keys = d_out @ before.mT, v @ d_added.mT
    d_q += (d_rows * start).flatten(2, 3)
    d_k += (d_keys * end).flatten(2, 3)
    d_v += (keys @ d_added).flatten(2, 3)
    d_before, d_after = d_rows.mul_(rows), d_keys.mul_(keys)
    d_before[..., -1, :] += (whole * d_added * before).sum(-1)
    d_decay = _shrink(d_before.flatten(2, 3), d_after.flatten(2, 3), d_blocks) if of_decay else None
    return d_q, d_k, d_v, d_decay, d_first


class _Sums:
    """Sums of g in blocks of tokens: `before` from the block's start to the token, inclusive, `after` from there to the block's end."""

    def __init__(self, log_decay: LogDecay) -> None:
        self.before, self.after = log_decay.clone(), torch.zeros_like(log_decay)  # of blocks of one token

    def grow(self, half: int) -> tuple[Halves, Halves]:
        """Join the blocks in pairs. Gives the decay from the boundary of a pair to each row after it, and from each key before it."""
        (before_1, before_2), (after_1, _) = _halved(half, self.before, self.after)
        decays = before_2.exp(), after_1.exp()
        after_1 += before_2[..., -1:, :]
        before_2 += before_1[..., -1:, :]
        return decays

    def of_chunks(self, chunk: int) -> tuple[Tensor, Tensor, Tensor]:
        """The decay from the start of a chunk to a row, from a key to the end, and of whole chunks, a column for each."""
        before, after = (x.unflatten(2, (-1, chunk)).exp() for x in (self.before, self.after))
        return before, after, before[..., -1, :, None]


def _shrink(d_before: LogDecay, d_after: LogDecay, d_blocks: list[tuple[int, Tensor, Tensor]]) -> LogDecay:
    """The gradient by g, from those by the sums in chunks and by the exponents in blocks of each size; overwrites the former."""
    for half, d_rows, d_keys in reversed(d_blocks):
        (before_1, before_2), (after_1, _) = _halved(half, d_before, d_after)
        of_first, of_second = before_2.sum(-2), after_1.sum(-2)
        before_1[..., -1, :] += of_first
        before_2[..., -1, :] += of_second
        before_2 += d_rows
        after_1 += d_keys
    return d_before


def _halves(chunk: int) -> Iterator[int]:
    """Half the sizes of the blocks in a chunk, from those of two tokens up: 1, 2, 4, ..., chunk / 2."""
    half = 1
    while half < chunk:
        yield half
        half *= 2


def _halved(half: int, *tensors: Tokens) -> list[tuple[Tensor, ...]]:
    """The first and the second half of each block, views [batch, heads, blocks, half, _]."""
    return [x.unflatten(2, (-1, 2, half)).unbind(3) for x in tensors]
