"""Softmax attention that starts as orthogonal attention does: a control for what the initialisation alone does.

A = softmax(Q K^T / sqrt(d)), out = A V, with [W_Q, W_K] jointly orthonormal per head, W_V and W_O orthogonal at the start.
Vaswani et al. 2017, arXiv 1706.03762; initialisation of Zhang and Martens 2026, arXiv 2602.05996.
"""

from __future__ import annotations

from torch import Tensor

from attnbench.attention import Heads, KVHeads, Matrix, PaddingMask, Variant, unit_values
from attnbench.kernels.cache import Cache, CachedAttention
from attnbench.kernels.definition import rows_of_matrix
from attnbench.kernels.fused_softmax import fused_softmax, fused_softmax_step
from attnbench.kernels.skew import init_jointly_orthonormal


class SoftmaxOrthogonalInit(CachedAttention):
    """Fused softmax attention; head_dim tells the heads of W_Q and W_K apart at the start."""

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim

    def forward(self, q: Heads, k: KVHeads, v: KVHeads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        return fused_softmax(q, k, v, causal, padding_mask)

    def step(self, q: Heads, k: KVHeads, v: KVHeads, state: Cache) -> tuple[Heads, Cache]:
        state = state.append(k, v)
        return fused_softmax_step(q, state), state

    def matrix(self, q: Heads, k: KVHeads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        return fused_softmax(q, k, unit_values(k), causal, padding_mask)

    def init_projections(self, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor) -> None:
        """As orthogonal attention starts, in place."""
        init_jointly_orthonormal(self.head_dim, w_q, w_k, w_v, w_o)


VARIANT = Variant(
    build=lambda shape: SoftmaxOrthogonalInit(shape.head_dim),
    citation="Vaswani et al. 2017, arXiv 1706.03762; start of Zhang and Martens 2026, arXiv 2602.05996",
    family="softmax",
    formula=r"\operatorname{softmax}(Q K^{\top} / \sqrt{d}) V",
    causal=True,
    normalises_rows=True,
    equivariant=True,
    time_exponent=2.0,
    memory_exponent=1.0,
    reference_rows=rows_of_matrix(lambda module, seen: seen.softmax(seen.scores())),
    implementation={"cpu": "tuned", "cuda": "tuned"},
)
