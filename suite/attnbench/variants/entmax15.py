"""1.5-entmax attention: between softmax and sparsemax; weights fall as a square, and are exactly zero below a threshold.

A_ij = [s_ij / 2 - tau_i]_+^2, s = Q K^T / sqrt(d), tau_i such that the row sums to one, out = A V. The forward pass finds tau exactly, by
Newton's steps in blocks of rows; `matrix` and the definition sort, as the paper does.

Peters, Niculae, Martins 2019, Sparse Sequence-to-Sequence Models, arXiv 1905.05702; in attention: Correia, Niculae, Martins 2019,
Adaptively Sparse Transformers, arXiv 1909.00015, which also learns alpha, here 1.5.
"""

from __future__ import annotations

import torch

from attnbench.attention import Heads, Matrix, PaddingMask, Variant, hide_padding
from attnbench.kernels.cache import Cache, CachedAttention
from attnbench.kernels.definition import Weights
from attnbench.kernels.threshold import threshold_attention, threshold_step
from attnbench.kernels.threshold_definition import matrix_by_sorting, rows_by_sorting

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
        return matrix_by_sorting(by_sorting, q, k, causal, padding_mask)


def by_sorting(scores: Weights) -> Weights:
    """[s / 2 - tau]_+^2, by the paper's Algorithm 2. The largest s of a row is 0; where a key is not seen it is -inf.

    If the k largest z = s / 2, of mean m and of squares that deviate from it by a total of S, are the support, then
    tau = m - sqrt((1 - S) / k); they are for the last k with tau <= z_k.
    """
    halves = scores / 2
    with torch.no_grad():
        ordered = halves.sort(-1, descending=True).values
        count = torch.arange(1, halves.shape[-1] + 1, dtype=halves.dtype, device=halves.device)
        mean = ordered.cumsum(-1) / count
        deviation = ordered.square().cumsum(-1) - count * mean.square()
        size = (mean - ((1 - deviation) / count).clamp(min=0.0).sqrt() <= ordered).sum(-1, keepdim=True)
        outside = halves < ordered.gather(-1, size - 1)
    mean = halves.masked_fill(outside, 0.0).sum(-1, keepdim=True) / size
    deviation = (halves - mean).masked_fill(outside, 0.0).square().sum(-1, keepdim=True)
    tau = mean - ((1 - deviation) / size).sqrt()
    return (halves - tau).masked_fill(outside, 0.0).square()


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
    reference_rows=rows_by_sorting(by_sorting),
)
