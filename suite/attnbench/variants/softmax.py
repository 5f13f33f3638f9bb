"""Softmax attention by torch's fused kernel: what a user has today.

A = softmax(Q K^T / sqrt(d)), out = A V. Vaswani et al. 2017, arXiv 1706.03762; on CUDA the kernel is FlashAttention's.
"""

from __future__ import annotations

from attnbench.attention import Heads, KVHeads, Matrix, PaddingMask, Variant, unit_values
from attnbench.kernels.cache import Cache, CachedAttention
from attnbench.kernels.definition import rows_of_matrix
from attnbench.kernels.fused_softmax import fused_softmax, fused_softmax_step


class Softmax(CachedAttention):
    """Fused scaled dot-product attention; no attention matrix is kept."""

    def forward(self, q: Heads, k: KVHeads, v: KVHeads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        return fused_softmax(q, k, v, causal, padding_mask)

    def step(self, q: Heads, k: KVHeads, v: KVHeads, state: Cache) -> tuple[Heads, Cache]:
        state = state.append(k, v)
        return fused_softmax_step(q, state), state

    def matrix(self, q: Heads, k: KVHeads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        return fused_softmax(q, k, unit_values(k), causal, padding_mask)


VARIANT = Variant(
    build=lambda shape: Softmax(),
    citation="Vaswani et al. 2017, Attention Is All You Need, arXiv 1706.03762",
    family="softmax",
    formula=r"\operatorname{softmax}(Q K^{\top} / \sqrt{d}) V",
    causal=True,
    normalises_rows=True,
    equivariant=True,
    grouped=True,
    time_exponent=2.0,
    memory_exponent=1.0,
    reference_rows=rows_of_matrix(lambda module, seen: seen.softmax(seen.scores())),
    implementation={"cpu": "tuned", "cuda": "tuned"},
)
