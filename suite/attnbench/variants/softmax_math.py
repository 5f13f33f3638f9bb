"""Softmax attention with its explicit matrix: the papers' baseline, and the reference for memory.

A = softmax(Q K^T / sqrt(d)), out = A V. Vaswani et al. 2017, arXiv 1706.03762.
"""

from __future__ import annotations

import math

from attnbench.attention import (
    Heads,
    KVHeads,
    Matrix,
    PaddingMask,
    Variant,
    at_least_float32,
    fold_groups,
    hide_padding,
    repeat_heads,
    visible_keys,
)
from attnbench.kernels.cache import Cache, CachedAttention
from attnbench.kernels.definition import rows_of_matrix


class SoftmaxMath(CachedAttention):
    """Softmax attention that keeps the seq_len x seq_len matrix of every head."""

    def forward(self, q: Heads, k: KVHeads, v: KVHeads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        (v,) = hide_padding(padding_mask, v)
        (v,) = repeat_heads(q.shape[1], v)
        return self.matrix(q, k, causal, padding_mask) @ v

    def step(self, q: Heads, k: KVHeads, v: KVHeads, state: Cache) -> tuple[Heads, Cache]:
        state = state.append(k, v)
        rows = fold_groups(at_least_float32(q) / math.sqrt(q.shape[-1]), k.shape[1])
        return state.weighted(state.scores(rows).softmax(-1)).to(v.dtype).reshape(q.shape), state

    def matrix(self, q: Heads, k: KVHeads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        q, k = hide_padding(padding_mask, q, k)
        scores = q @ repeat_heads(q.shape[1], k)[0].mT / math.sqrt(q.shape[-1])
        visible = visible_keys(q.shape[-2], causal, padding_mask, q.device, never_empty=True)
        if visible is not None:
            scores = scores.masked_fill(~visible, -math.inf)
        return hide_padding(padding_mask, scores.softmax(-1))[0]


VARIANT = Variant(
    build=lambda shape: SoftmaxMath(),
    citation="Vaswani et al. 2017, Attention Is All You Need, arXiv 1706.03762",
    family="softmax",
    formula=r"\operatorname{softmax}(Q K^{\top} / \sqrt{d}) V",
    causal=True,
    normalises_rows=True,
    equivariant=True,
    grouped=True,
    time_exponent=2.0,
    memory_exponent=2.0,
    reference_rows=rows_of_matrix(lambda module, seen: seen.softmax(seen.scores())),
)
