"""Sparsemax attention: each row of scores is projected onto the simplex, so that most keys have a weight of exactly zero.

A_ij = [s_ij - tau_i]_+, s = Q K^T / sqrt(d), tau_i such that the row sums to one, out = A V: the nearest row, by Euclid, among all weights
that are not negative and sum to one. The forward pass finds tau exactly, by Newton's steps in blocks of rows; `matrix` and the definition
sort, as the paper does.

Martins and Astudillo 2016, From Softmax to Sparsemax, arXiv 1602.02068.
"""

from __future__ import annotations

import torch

from attnbench.attention import Heads, Matrix, PaddingMask, Variant, hide_padding
from attnbench.kernels.cache import Cache, CachedAttention
from attnbench.kernels.definition import Weights
from attnbench.kernels.threshold import threshold_attention, threshold_step
from attnbench.kernels.threshold_definition import matrix_by_sorting, rows_by_sorting

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
        return matrix_by_sorting(by_sorting, q, k, causal, padding_mask)


def by_sorting(scores: Weights) -> Weights:
    """[s - tau]_+, by the paper's Algorithm 1: the k largest are the support, k the last with 1 + k s_k > s_1 + ... + s_k.

    The largest s of a row is 0; where a key is not seen it is -inf.
    """
    with torch.no_grad():
        ordered = scores.sort(-1, descending=True).values
        count = torch.arange(1, scores.shape[-1] + 1, dtype=scores.dtype, device=scores.device)
        size = (1 + count * ordered > ordered.cumsum(-1)).sum(-1, keepdim=True)
        outside = scores < ordered.gather(-1, size - 1)
    tau = (scores.masked_fill(outside, 0.0).sum(-1, keepdim=True) - 1) / size
    return (scores - tau).masked_fill(outside, 0.0)


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
    reference_rows=rows_by_sorting(by_sorting),
)
