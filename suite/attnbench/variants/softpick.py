"""Softpick: softmax with both exponentials taken less one, so that a score of zero or less gets no weight and a row may be empty.

A_ij = max(exp(s_ij) - 1, 0) / (sum_l |exp(s_il) - 1| + 1e-8), s = Q K^T / sqrt(d), out = A V. As in the paper's stable form, both are
taken times exp(-m), m the row's largest score, and the 1e-8 is added after that: beside the sum as it stands here it counts as
1e-8 exp(m). That is seen only where the largest score is itself near 1e-8. m is at least 0 here, which changes nothing, for a row without
a positive score is zero either way; in the gradient it is a constant. Rows sum to one where no score is negative, else to less. Worked in
tiles.

Zuhri, Fuadi, Aji 2025, Softpick: No Attention Sink, No Massive Activations with Rectified Softmax, arXiv 2504.20966.
"""

from __future__ import annotations

import math

from torch import nn

from attnbench.attention import Heads, Matrix, PaddingMask, Variant, at_least_float32, hide_padding, hide_unseen
from attnbench.kernels.cache import Cache, CachedAttention, normalised_step
from attnbench.kernels.definition import Seen, Weights, rows_of_matrix
from attnbench.kernels.normalised import RectifiedExponential
from attnbench.kernels.tiled import normalised_sums

EPSILON = 1e-8


class Softpick(CachedAttention):
    """A zeroed key has score 0 and no part in either sum, so padding needs no mask of its own."""

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        q, k, v = hide_padding(padding_mask, q, k, v)
        total, sums, _ = normalised_sums(_scaled(q), k, v, RectifiedExponential(), causal)
        return hide_padding(padding_mask, (total / (sums + EPSILON)).to(v.dtype))[0]

    def step(self, q: Heads, k: Heads, v: Heads, state: Cache) -> tuple[Heads, Cache]:
        state = state.append(k, v)
        total, sums, _ = normalised_step(_scaled(q), state, RectifiedExponential())
        return (total / (sums + EPSILON)).to(v.dtype), state

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        q, k = hide_padding(padding_mask, q, k)
        scores = hide_unseen(_scaled(q) @ k.mT, causal, padding_mask)
        return _weights(scores).to(q.dtype)


def _scaled(q: Heads) -> Heads:
    return at_least_float32(q) / math.sqrt(q.shape[-1])


def _weights(scores: Weights) -> Weights:
    """The rows of the matrix from scores that are 0 for keys that a row does not see."""
    largest = scores.amax(-1, keepdim=True).clamp(min=0.0).detach()
    above = (scores - largest).expm1() - (-largest).expm1()
    return above.relu() / (above.abs().sum(-1, keepdim=True) + EPSILON)


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """max(e^s - 1, 0) / (sum |e^s - 1| + 1e-8), all times e^-m."""
    return _weights(seen.only_visible(seen.scores()))


VARIANT = Variant(
    build=lambda shape: Softpick(),
    citation="Zuhri, Fuadi, Aji 2025, Softpick: No Attention Sink, No Massive Activations with Rectified Softmax, arXiv 2504.20966",
    family="softmax",
    formula=r"\operatorname{relu}(\operatorname{exp}(S) - 1) / (\sum |\operatorname{exp}(S) - 1| + 10^{-8}) V, S = Q K^{\top} / \sqrt{d}",
    causal=True,
    normalises_rows=False,
    equivariant=True,
    time_exponent=2.0,
    memory_exponent=1.0,
    reference_rows=rows_of_matrix(rows_by_definition),
)
