"""Sparsemax attention: each row of scores is projected onto the simplex, so that most keys have a weight of exactly zero.

A_ij = [s_ij - tau_i]_+, s = Q K^T / sqrt(d), tau_i such that the row sums to one, out = A V: the nearest row, by Euclid, among all weights
that are not negative and sum to one. The forward pass finds tau exactly, by Newton's steps in blocks of rows; `matrix` and the definition
sort, as the paper does.

Martins and Astudillo 2016, From Softmax to Sparsemax, arXiv 1602.02068.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from attnbench.attention import Heads, Matrix, PaddingMask, Variant, at_least_float32, hide_padding, visible_keys
from attnbench.kernels.cache import Cache, CachedAttention
from attnbench.kernels.definition import Seen, Weights, rows_of_matrix
from attnbench.kernels.threshold import threshold_attention, threshold_step

POWER = 1


class Sparsemax(CachedAttention):
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
    """[s - tau]_+ over the visible keys, by the paper's Algorithm 1: the k largest are the support, k the last with 1 + k s_k > sum_k s."""
    wide = at_least_float32(scores)
    if visible is not None:
        wide = wide.masked_fill(~visible, -math.inf)
    wide = wide - wide.detach().amax(-1, keepdim=True)
    with torch.no_grad():
        ordered = wide.sort(-1, descending=True).values
        count = torch.arange(1, wide.shape[-1] + 1, dtype=wide.dtype, device=wide.device)
        size = (1 + count * ordered > ordered.cumsum(-1)).sum(-1, keepdim=True)
        outside = wide < ordered.gather(-1, size - 1)
    tau = (wide.masked_fill(outside, 0.0).sum(-1, keepdim=True) - 1) / size
    return (wide - tau).masked_fill(outside, 0.0).to(scores.dtype)


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """[s - tau]_+; a padded row that sees no key takes all."""
    return by_sorting(seen.scores(), seen.visible | ~seen.visible.any(-1, keepdim=True))


VARIANT = Variant(
    build=lambda shape: Sparsemax(),
    citation="Martins and Astudillo 2016, From Softmax to Sparsemax, arXiv 1602.02068",
    family="softmax",
    formula=r"[Q K^{\top} / \sqrt{d} - \tau]_{+} V",
    causal=True,
    normalises_rows=True,
    equivariant=True,
    time_exponent=2.0,
    memory_exponent=1.0,
    reference_rows=rows_of_matrix(rows_by_definition),
)
