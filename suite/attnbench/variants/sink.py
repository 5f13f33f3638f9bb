"""Softmax with a sink: a logit learned per head in each denominator, so that a head may attend to nothing.

A_ij = exp(s_ij) / (exp(b) + sum_l exp(s_il)), s = Q K^T / sqrt(d), out = A V. b is 0 at the start, where it is softmax_one. Rows sum to
less than one. Worked in tiles.

The logits of gpt-oss: OpenAI 2025, gpt-oss-120b and gpt-oss-20b Model Card, arXiv 2508.10925.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from attnbench.attention import Heads, Matrix, PaddingMask, Shape, Variant
from attnbench.kernels.cache import Cache, CachedAttention
from attnbench.kernels.definition import Seen, Weights, per_head, rows_of_matrix
from attnbench.kernels.sink import sink_attention, sink_matrix, sink_step


class Sink(CachedAttention):
    """sink_logit, b of the formula, has shape [num_heads]."""

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self.sink_logit = nn.Parameter(torch.zeros(num_heads))

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        return sink_attention(q, k, v, self.sink_logit, causal, padding_mask)

    def step(self, q: Heads, k: Heads, v: Heads, state: Cache) -> tuple[Heads, Cache]:
        state = state.append(k, v)
        return sink_step(q, state, self.sink_logit), state

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        return sink_matrix(q, k, self.sink_logit, causal, padding_mask)


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """e^s / (e^b + sum e^s); what is taken off the exponents cancels."""
    scores = seen.scores().masked_fill(~seen.visible, -math.inf)
    logit = per_head(module, "sink_logit", scores)
    largest = torch.maximum(scores.amax(-1, keepdim=True), logit).detach()
    weights = (scores - largest).exp()
    return weights / ((logit - largest).exp() + weights.sum(-1, keepdim=True))


def build(shape: Shape) -> nn.Module:
    return Sink(shape.num_heads)


VARIANT = Variant(
    build=build,
    citation="OpenAI 2025, gpt-oss-120b and gpt-oss-20b Model Card, arXiv 2508.10925",
    family="softmax",
    formula=r"\operatorname{exp}(Q K^{\top} / \sqrt{d}) / (e^{b} + \sum \operatorname{exp}(Q K^{\top} / \sqrt{d})) V",
    causal=True,
    normalises_rows=False,
    equivariant=True,
    time_exponent=2.0,
    memory_exponent=1.0,
    reference_rows=rows_of_matrix(rows_by_definition),
    implementation={"cpu": "tuned"},
)
