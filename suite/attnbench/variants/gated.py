"""Gated attention: each element of softmax attention's output times a sigmoid gate that the query opens.

out_i = (A V)_i * sigma(q_i W_g), A = softmax(Q K^T / sqrt(d)), W_g one d x d map per head, no bias. It is the form that
the paper recommends: a sigmoid gate that multiplies the output of the attention, elementwise, with its own map for each head (in the
paper one gate for each head and token loses little). The paper maps the hidden state at the query's position; here the gate maps the
query, W_Q times that state, so that all mechanisms are given the same.

The gate differs from column to column of V, so that there is no attention matrix.

Qiu et al. 2025, Gated Attention for Large Language Models, arXiv 2505.06708.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnbench.attention import Heads, PaddingMask, Shape, Variant, hide_padding
from attnbench.kernels.cache import Cache, CachedAttention
from attnbench.kernels.definition import Seen, rows_by
from attnbench.kernels.fused_softmax import fused_softmax, fused_softmax_step


class Gated(CachedAttention):
    """w_g: [num_heads, head_dim, head_dim], initialised as the model's projections are, by Xavier and Glorot's uniform law."""

    def __init__(self, num_heads: int, head_dim: int) -> None:
        super().__init__()
        self.w_g = nn.Parameter(torch.empty(num_heads, head_dim, head_dim))
        for head in self.w_g:
            nn.init.xavier_uniform_(head)

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        (q,) = hide_padding(padding_mask, q)
        return fused_softmax(q, k, v, causal, padding_mask) * torch.sigmoid(q @ self.w_g)

    def step(self, q: Heads, k: Heads, v: Heads, state: Cache) -> tuple[Heads, Cache]:
        state = state.append(k, v)
        return fused_softmax_step(q, state) * torch.sigmoid(q @ self.w_g), state


def rows_by_definition(module: nn.Module, seen: Seen) -> Tensor:
    """(softmax(s) V) sigma(q W_g)."""
    gate = (seen.q @ module.get_parameter("w_g").to(seen.q.dtype)).sigmoid()
    return seen.softmax(seen.scores()) @ seen.v * gate


def build(shape: Shape) -> nn.Module:
    return Gated(shape.num_heads, shape.head_dim)


VARIANT = Variant(
    build=build,
    citation="Qiu et al. 2025, Gated Attention for Large Language Models, arXiv 2505.06708",
    family="softmax",
    formula=r"\operatorname{softmax}(Q K^{\top} / \sqrt{d}) V \odot \sigma(Q W)",
    causal=True,
    normalises_rows=False,
    equivariant=True,
    time_exponent=2.0,
    memory_exponent=1.0,
    reference_rows=rows_by(rows_by_definition),
    implementation={"cpu": "tuned", "cuda": "tuned"},
)
