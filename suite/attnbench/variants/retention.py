"""Retention: linear attention in which a key fades at a fixed rate, another for each head.

out_i = sum_j gamma_h^|i - j| s_ij v_j, s_ij = q_i . k_j / sqrt(d), gamma_h = 1 - 2^(-5 - h), h the index of the head from 0, with no
normalisation over the keys. Causal: j <= i. The paper is causal only; both sides with |i - j| are ours, for tasks that need them. Positions
are counted among the unpadded tokens: a hole does not fade a key.

It is the mixing of the paper's layer alone. The layer also rotates q and k (xPos), normalises the output of each head, and multiplies it by
a swish gate; here positions are a model's option for all mechanisms, and the others have no such gate or norm.

Sun et al. 2023, arXiv 2307.08621.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attnbench.attention import Heads, Matrix, PaddingMask, Shape, Variant, at_least_float32, hide_padding, hide_unseen, token_ranks
from attnbench.kernels.decay_state import DecayState
from attnbench.kernels.decay_sums import decay_sums
from attnbench.kernels.definition import Seen, Weights, rows_of_matrix


class Retention(nn.Module):
    """No parameters: gamma is fixed."""

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        q, k, v = hide_padding(padding_mask, q, k, v)
        log_decay = _log_gamma(q)
        if padding_mask is not None:
            log_decay = log_decay.masked_fill(padding_mask[:, None, :, None], 0.0)
        scale = 1.0 / math.sqrt(q.shape[-1])
        if causal:
            return decay_sums(q, k, v, log_decay, scale)
        # The tokens up to the row, and in reversed order those from it on; both have the row itself.
        dtype = v.dtype
        q, k, v = (at_least_float32(x) for x in (q, k, v))
        until = decay_sums(q, k, v, log_decay, scale)
        since = decay_sums(q.flip(2), k.flip(2), v.flip(2), log_decay.flip(2), scale).flip(2)
        own = (q * k).sum(-1, keepdim=True) * scale * v
        return (until + since - own).to(dtype)

    def init_state(self, batch_size: int) -> DecayState:
        return DecayState(batch_size)

    def prefill(self, q: Heads, k: Heads, v: Heads) -> DecayState:
        return DecayState(q.shape[0]).add(k, v, _log_gamma(q))

    def step(self, q: Heads, k: Heads, v: Heads, state: DecayState) -> tuple[Heads, DecayState]:
        state = state.add(k, v, _log_gamma(q))
        return (state.read(q) / math.sqrt(q.shape[-1])).to(v.dtype), state

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        q, k = hide_padding(padding_mask, q, k)
        ranks = token_ranks(q.shape[2], padding_mask, q.device)[:, None]
        fading = ((ranks[..., :, None] - ranks[..., None, :]).abs() * _log_gamma(q)).exp()
        return hide_unseen(q @ k.mT / math.sqrt(q.shape[-1]) * fading.to(q.dtype), causal, padding_mask)


def _log_gamma(q: Heads) -> Float[Tensor, "1 heads 1 1"]:
    """log gamma_h of each head, in float64: of late heads gamma is 1 - 2^-30 and nearer to 1."""
    head = torch.arange(q.shape[1], dtype=torch.float64, device=q.device)
    return torch.log1p(-(2.0 ** (-5.0 - head)))[None, :, None, None]


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """s_ij gamma^|i - j|; i and j are counted among the unpadded tokens."""
    ranks = (~seen.padding).double().cumsum(-1)[:, None, :]  # [#batch, 1, seq_len], from 1: only differences count
    distances = (ranks[..., seen.rows, None] - ranks[..., None, :]).abs()
    gamma = torch.tensor([1.0 - 0.5 ** (5 + head) for head in range(seen.k.shape[1])], dtype=torch.float64, device=ranks.device)
    return seen.only_visible(seen.scores() * (gamma[:, None, None] ** distances).to(seen.q.dtype))


def build(shape: Shape) -> nn.Module:
    return Retention()


VARIANT = Variant(
    build=build,
    citation="Sun et al. 2023, Retentive Network: A Successor to Transformer, arXiv 2307.08621",
    family="linear",
    formula=r"\sum_{j} \gamma_{h}^{|i - j|} q_{i} \cdot k_{j} / \sqrt{d} \, v_{j},\quad \gamma_{h} = 1 - 2^{-5 - h}",
    causal=True,
    normalises_rows=False,
    equivariant=False,
    time_exponent=1.0,
    memory_exponent=1.0,
    reference_rows=rows_of_matrix(rows_by_definition),
)
