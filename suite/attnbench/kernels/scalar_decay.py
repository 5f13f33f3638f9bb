"""Decaying sums with one decay a head and token, in chunks: out_i = q_i . S_i, S_i = e^{g_i} S_{i-1} + k_i v_i^T.

With G the sum of g from the start of a chunk, inclusive, the pairs within a chunk weigh (q_i . k_j) e^{G_i - G_j}, j <= i: one masked
product. Between chunks goes the state: a row reads the one before its chunk with e^{G_i}, and a chunk adds k_j e^{G_last - G_j} v_j^T (Dao
and Gu 2024, arXiv 2405.21060; Sun et al. 2023, arXiv 2307.08621). No exponent is positive for g <= 0. G is kept in float64, for where a
decay is strong the difference of two large sums is small.

The functions take some whole chunks and the state before them; see decay_sums.py.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from attnbench.kernels.chunk_decay import crossing
from attnbench.kernels.chunk_states import State, states_before, states_before_backward

Tokens = Float[Tensor, "batch heads tokens _"]
LogDecay = Float[Tensor, "#batch heads #tokens 1"]  # one token only: the same decay at every token
Chunks = Float[Tensor, "batch heads chunks chunk _"]
Decays = Float[Tensor, "#batch heads #chunks _ _"]

TO_NOTHING = -800.0  # e^-800 is 0 in float64
CHUNK = {"cpu": 32, "cuda": 128}  # tokens. On the CPU measured, of 32, 64 and 128; a GPU has enough to do in fewer, larger steps


def forward(q: Tokens, k: Tokens, v: Tokens, log_decay: LogDecay, chunk: int, first: State) -> tuple[Tokens, State]:
    """The sums, and the state after the last token."""
    q, k, v = (_cut(x, chunk) for x in (q, k, v))
    inside, start, end, whole = _decays(log_decay, chunk, q.dtype)
    before, last = states_before((k * end).mT @ v, whole, first)
    out = (q @ k.mT).mul_(inside) @ v
    out += (q * start) @ before
    return out.flatten(2, 3), last


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
    q, k, v, d_out = (_cut(x, chunk) for x in (q, k, v, d_out))
    inside, start, end, whole = _decays(log_decay, chunk, q.dtype)
    weights, d_weights = (q @ k.mT).mul_(inside), d_out @ v.mT
    at_rows, at_keys = q * start, k * end
    before, _ = states_before(at_keys.mT @ v, whole, first)
    d_added, d_first = states_before_backward(at_rows.mT @ d_out, d_last, whole)
    d_at_rows, d_at_keys = d_out @ before.mT, v @ d_added.mT

    d_decay = None
    if of_decay:
        reads, writes = ((x * d).sum(-1).double() for x, d in ((at_rows, d_at_rows), (at_keys, d_at_keys)))
        d_sums = reads - writes
        d_sums[..., -1] += writes.sum(-1) + whole[..., 0, 0] * (d_added * before).sum((-2, -1))
        d_decay = d_sums.flip(-1).cumsum(-1).flip(-1) + crossing(weights * d_weights)
        d_decay = d_decay.flatten(2)[..., None].to(q.dtype)

    d_v = weights.mT @ d_out
    d_v += at_keys @ d_added
    d_scores = d_weights.mul_(inside)
    d_q, d_k = d_at_rows.mul_(start), d_at_keys.mul_(end)
    d_q += d_scores @ k
    d_k += d_scores.mT @ q
    return d_q.flatten(2, 3), d_k.flatten(2, 3), d_v.flatten(2, 3), d_decay, d_first


def _cut(x: Tokens, chunk: int) -> Chunks:
    return x.unflatten(2, (-1, chunk))


def _decays(log_decay: LogDecay, chunk: int, dtype: torch.dtype) -> tuple[Decays, Decays, Decays, Decays]:
    """From key to row, from the start to a row, from a key to the end, and of whole chunks; [..., rows or 1, keys or 1]."""
    if log_decay.shape[2] == 1:
        log_decay = log_decay.expand(-1, -1, chunk, -1)
    # A decay to less than nothing would leave no digits for those after it, whose differences count.
    sums = log_decay.double().clamp(min=TO_NOTHING).unflatten(2, (-1, chunk)).cumsum(3)
    later = torch.ones(chunk, chunk, dtype=torch.bool, device=sums.device).triu(1)
    inside = (sums - sums.mT).to(dtype).masked_fill_(later, -math.inf).exp_()
    last = sums[..., -1:, :]
    return inside, sums.exp().to(dtype), (last - sums).exp().to(dtype), last.exp().to(dtype)
