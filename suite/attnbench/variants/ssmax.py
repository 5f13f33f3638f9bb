"""Scalable-Softmax: softmax whose scores grow with the logarithm of the number of keys, so that attention does not fade with length.

A = softmax(a_h log(max(n_i, 2)) q_i . k_j / sqrt(d)), out = A V. n_i is the number of unpadded keys that row i may see, its own count when
causal; a is learned per head, and the scaling is part of the query, so that torch's fused kernel serves. With one key every softmax is 1;
the 2 keeps the gradient of its score as well behaved as any other.

The start is a = 1 / log N, N the seq_len that it is built for or 512: plain softmax for a row that sees N keys. The paper's s is a too, one
per layer and head; its form with a bias is left out.

Nakanishi 2025, Scalable-Softmax Is Superior for Attention, arXiv 2501.19399.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from attnbench.attention import Heads, Matrix, PaddingMask, Shape, Variant, at_least_float32, count_visible, hide_padding, unit_values
from attnbench.kernels.cache import Cache, CachedAttention
from attnbench.kernels.definition import Seen, Weights, per_head, rows_of_matrix
from attnbench.kernels.fused_softmax import fused_softmax, fused_softmax_step

FEWEST_KEYS = 2
USUAL_SEQ_LEN = 512


class ScalableSoftmax(CachedAttention):
    """scale, a of the formula, has shape [num_heads]."""

    def __init__(self, num_heads: int, seq_len: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((num_heads,), 1 / math.log(max(seq_len, FEWEST_KEYS))))

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        return self._attend(q, k, v, causal, padding_mask)

    def _attend(self, q: Heads, k: Heads, v: Tensor, causal: bool, padding_mask: PaddingMask | None) -> Tensor:
        (q,) = hide_padding(padding_mask, q)
        keys = count_visible(q.shape[-2], causal, padding_mask, q.device).clamp(min=FEWEST_KEYS)
        return fused_softmax(self._scaled(q, keys.log()), k, v, causal, padding_mask)

    def _scaled(self, q: Heads, logarithm: Tensor | float) -> Heads:
        """The queries times a log n, in their own dtype; multiplied in float32 or wider."""
        wide = at_least_float32(q)
        if isinstance(logarithm, Tensor):
            logarithm = logarithm.to(wide.dtype)
        return (wide * (self.scale.to(wide.dtype)[:, None, None] * logarithm)).to(q.dtype)

    def step(self, q: Heads, k: Heads, v: Heads, state: Cache) -> tuple[Heads, Cache]:
        state = state.append(k, v)
        return fused_softmax_step(self._scaled(q, math.log(max(state.length, FEWEST_KEYS))), state), state

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        return self._attend(q, k, unit_values(q), causal, padding_mask)


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """softmax(a log(n) s)."""
    scores = seen.scores()
    return seen.softmax(per_head(module, "scale", scores) * seen.count().clamp(min=FEWEST_KEYS).log().to(scores.dtype) * scores)


def build(shape: Shape) -> nn.Module:
    return ScalableSoftmax(shape.num_heads, shape.seq_len or USUAL_SEQ_LEN)


VARIANT = Variant(
    build=build,
    citation="Nakanishi 2025, Scalable-Softmax Is Superior for Attention, arXiv 2501.19399",
    family="softmax",
    formula=r"\operatorname{softmax}(a \operatorname{log}(N) Q K^{\top} / \sqrt{d}) V",
    causal=True,
    normalises_rows=True,
    equivariant=True,
    time_exponent=2.0,
    memory_exponent=1.0,
    reference_rows=rows_of_matrix(rows_by_definition),
    implementation={"cpu": "tuned"},
)
