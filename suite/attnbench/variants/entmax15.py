"""1.5-entmax attention: between softmax and sparsemax; weights fall as a square, and are exactly zero below a threshold.

A_ij = [s_ij / 2 - tau_i]_+^2, s = Q K^T / sqrt(d), tau_i such that the row sums to one, out = A V. The forward pass finds tau exactly, by
Newton's steps in blocks of rows; `matrix` and the definition sort, as the paper does.

Peters, Niculae, Martins 2019, Sparse Sequence-to-Sequence Models, arXiv 1905.05702; in attention: Correia, Niculae, Martins 2019,
Adaptively Sparse Transformers, arXiv 1909.00015, which also learns alpha, here 1.5.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from attnbench.attention import Heads, Matrix, PaddingMask, Variant, at_least_float32, hide_padding, visible_keys
from attnbench.kernels.cache import Cache, CachedAttention
from attnbench.kernels.definition import Seen, Weights, rows_of_matrix
from attnbench.kernels.threshold import threshold_attention, threshold_step

POWER = 2


class Entmax15(CachedAttention):
    """No parameters. Half precision is worked in float32."""

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        q, k, v = hide_padding(padding_mask, q, k, v)
        return hide_padding(padding_mask, threshold_attention(q, k, v, POWER, causal, padding_mask))[0]

    def step(self, q: Heads, k: Heads, v: Heads, state: Cache) -> tuple[Heads, Cache]:
        state = state.append(k, v)
        return threshold_step(q, state, POWER), state

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        q, k = hide_padding(padding_mask, q, k)
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        visible = visible_keys(q.shape[-2], causal, padding_mask, q.device, never_empty=True)
        return hide_padding(padding_mask, by_sorting(scores, visible))[0]


def by_sorting(scores: Tensor, visible: Tensor | None) -> Tensor:
    """[s / 2 - tau]_+^2 over the visible keys, by the paper's Algorithm 2.

    If the k largest z = s / 2, of mean m and of squares that deviate from it by a total of S, are the support, then
    tau = m - sqrt((1 - S) / k); they are for the last k with tau <= z_k.
    """
    wide = at_least_float32(scores)
    if visible is not None:
        wide = wide.masked_fill(~visible, -math.inf)
    wide = (wide - wide.detach().amax(-1, keepdim=True)) / 2
    with torch.no_grad():
        ordered = wide.sort(-1, descending=True).values
        count = torch.arange(1, wide.shape[-1] + 1, dtype=wide.dtype, device=wide.device)
        mean = ordered.cumsum(-1) / count
        deviation = ordered.square().cumsum(-1) - count * mean.square()
        size = (mean - ((1 - deviation) / count).clamp(min=0.0).sqrt() <= ordered).sum(-1, keepdim=True)
        outside = wide < ordered.gather(-1, size - 1)
    mean = wide.masked_fill(outside, 0.0).sum(-1, keepdim=True) / size
    deviation = (wide - mean).masked_fill(outside, 0.0).square().sum(-1, keepdim=True)
    tau = mean - ((1 - deviation) / size).sqrt()
    return (wide - tau).masked_fill(outside, 0.0).square().to(scores.dtype)


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """[s / 2 - tau]_+^2; a padded row that sees no key takes all."""
    return by_sorting(seen.scores(), seen.visible | ~seen.visible.any(-1, keepdim=True))


VARIANT = Variant(
    build=lambda shape: Entmax15(),
    citation="Peters, Niculae, Martins 2019, Sparse Sequence-to-Sequence Models, arXiv 1905.05702",
    family="softmax",
    formula=r"[Q K^{\top} / (2 \sqrt{d}) - \tau]_{+}^{2} V",
    causal=True,
    normalises_rows=True,
    equivariant=True,
    time_exponent=2.0,
    memory_exponent=1.0,
    reference_rows=rows_of_matrix(rows_by_definition),
)
