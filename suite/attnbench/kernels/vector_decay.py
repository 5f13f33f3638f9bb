"""Decaying sums with a decay for each key dimension, in chunks: out_i = q_i . S_i, S_i = diag(e^{g_i}) S_{i-1} + k_i v_i^T.

A pair weighs sum_d q_id k_jd e^{g_{j+1,d} + ... + g_id}, which is no product of queries and keys: e^{-G_j} would overflow. Yang et al.
2023, arXiv 2312.06635, cut a chunk into blocks, and take the decays relative to the start of the row's block. Here blocks are halved
down to single tokens. The rows of the second half of a block see the keys of its first half through the boundary between them,

    (q_i e^{from the boundary to i}) . (k_j e^{from j to the boundary}),

a plain product whose exponents are never positive for g <= 0, however strong the decay. All pairs of a chunk are reached so, from blocks of two
tokens up to the chunk; the diagonal does not decay. The sums of g from the start of a block to a token, and from a token to the end of the
block, grow with the blocks: half of them by one addition, so that they are as exact as g, and so are their gradients.

The functions take some whole chunks and the state before them; see decay_sums.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from attnbench.kernels.chunk_states import State, states_before, states_before_backward

Tokens = Float[Tensor, "batch heads tokens _"]
LogDecay = Float[Tensor, "batch heads tokens key_dim"]
Halves = Float[Tensor, "batch heads blocks half _"]

CHUNK = {"cpu": 32, "cuda": 64}  # tokens, a power of two. On the CPU measured, of 16, 32, 64 and 128


def forward(q: Tokens, k: Tokens, v: Tokens, log_decay: LogDecay, chunk: int, first: State) -> tuple[Tokens, State]:
    """The sums, and the state after the last token."""
    out = (q * k).sum(-1, keepdim=True) * v
    sums = _Sums(log_decay)
    for half in _halves(chunk):
        from_boundary, to_boundary = sums.grow(half)
        rows, keys = _second(q, half) * from_boundary, _first(k, half) * to_boundary
        _second(out, half).add_(_product(rows, keys, _first(v, half)))
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
    """The gradients by q, k, v, log_decay and the first state, from those by what `forward` gives."""
    d_diagonal = (d_out * v).sum(-1, keepdim=True)
    d_q, d_k, d_v = d_diagonal * k, d_diagonal * q, (q * k).sum(-1, keepdim=True) * d_out
    sums = _Sums(log_decay)
    d_blocks = []
    for half in _halves(chunk):
        from_boundary, to_boundary = sums.grow(half)
        rows, keys = _second(q, half) * from_boundary, _first(k, half) * to_boundary
        d_weights = _second(d_out, half) @ _first(v, half).mT
        d_rows, d_keys = d_weights @ keys, d_weights.mT @ rows
        _first(d_v, half).add_((keys @ rows.mT) @ _second(d_out, half))
        _second(d_q, half).addcmul_(d_rows, from_boundary)
        _first(d_k, half).addcmul_(d_keys, to_boundary)
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
    return d_q, d_k, d_v, _shrink(d_before.flatten(2, 3), d_after.flatten(2, 3), d_blocks), d_first


class _Sums:
    """Sums of g in blocks of tokens: `before` from the start of the block to the token, inclusive, `after` from there to the block's end."""

    def __init__(self, log_decay: LogDecay) -> None:
        self.before, self.after = log_decay.clone(), torch.zeros_like(log_decay)  # of blocks of one token

    def grow(self, half: int) -> tuple[Halves, Halves]:
        """Join the blocks in pairs. Gives the decay from the boundary of a pair to each row after it, and from each key before it."""
        decays = _second(self.before, half).exp(), _first(self.after, half).exp()
        of_second = _second(self.before, half)[..., -1:, :].clone()
        _second(self.before, half).add_(_first(self.before, half)[..., -1:, :])
        _first(self.after, half).add_(of_second)
        return decays

    def of_chunks(self, chunk: int) -> tuple[Tensor, Tensor, Tensor]:
        """The decay from the start of a chunk to a row, from a key to the end, and of whole chunks, a column for each."""
        before, after = (x.unflatten(2, (-1, chunk)).exp() for x in (self.before, self.after))
        return before, after, before[..., -1, :, None]


def _shrink(d_before: Tensor, d_after: Tensor, d_blocks: list[tuple[int, Halves, Halves]]) -> LogDecay:
    """The gradient by g from those by the sums of chunks, and by the rows' and keys' exponents of each size of blocks; overwrites them."""
    for half, d_rows, d_keys in reversed(d_blocks):
        of_first, of_second = _second(d_before, half).sum(-2), _first(d_after, half).sum(-2)
        _first(d_before, half)[..., -1, :] += of_first
        _second(d_before, half)[..., -1, :] += of_second
        _second(d_before, half).add_(d_rows)
        _first(d_after, half).add_(d_keys)
    return d_before


def _halves(chunk: int) -> Iterator[int]:
    """Half the sizes of the blocks in a chunk, from those of two tokens up: 1, 2, 4, ..., chunk / 2."""
    half = 1
    while half < chunk:
        yield half
        half *= 2


def _first(x: Tokens, half: int) -> Halves:
    """The first half of each block, a view."""
    return x.unflatten(2, (-1, 2, half))[:, :, :, 0]


def _second(x: Tokens, half: int) -> Halves:
    return x.unflatten(2, (-1, 2, half))[:, :, :, 1]


def _product(rows: Halves, keys: Halves, v: Halves) -> Halves:
    """(rows keys^T) v."""
    if rows.shape[-2] == 1:  # a product of single tokens is a sum
        return (rows * keys).sum(-1, keepdim=True) * v
    return (rows @ keys.mT) @ v
