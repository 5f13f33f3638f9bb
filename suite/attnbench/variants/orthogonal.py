"""Orthogonal self-attention (OSA): the exponential of a skew-symmetric matrix, exact and linear in seq_len.

S = (alpha / sqrt(d)) (Q K^T - K Q^T), A = exp(S) in SO(N), out = A V. With U = [Q, K], J = [[0, I], [-I, 0]], c = alpha / sqrt(d) and
G = U^T U, the matrix is S = c U J U^T, and

    exp(S) V = V + U phi1(c J G) (c J U^T V),    phi1(M) = sum_k M^k / (k+1)!

where phi1 is taken of a 2d x 2d matrix: no seq_len x seq_len matrix, no QR, no condition on the rank of U.

Zhang and Martens 2026, arXiv 2602.05996; initialisation (joint orthonormal W_Q and W_K, orthogonal W_V and W_O) as reported there.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from attnbench.attention import Heads, Matrix, PaddingMask, Shape, Unsupported, Variant, at_least_float32, hide_padding
from attnbench.kernels.rotation import rotate
from attnbench.kernels.skew import alpha_parameter, exponential, init_projections


class Orthogonal(nn.Module):
    """alpha, the first parameter, has shape [num_heads] and is used as it is: 0 makes A the identity."""

    def __init__(self, alpha: nn.Parameter, head_dim: int) -> None:
        super().__init__()
        self.alpha = alpha
        self.head_dim = head_dim

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        (v,) = hide_padding(padding_mask, v)
        return hide_padding(padding_mask, self._attend(q, k, v, causal, padding_mask))[0]

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        """exp(S); on padded rows it is the identity, whatever `forward` shows there."""
        identity = torch.eye(q.shape[-2], dtype=q.dtype, device=q.device).expand(*q.shape[:2], -1, -1)
        return self._attend(q, k, identity, causal, padding_mask)

    def _attend(self, q: Heads, k: Heads, v: Tensor, causal: bool, padding_mask: PaddingMask | None) -> Tensor:
        if causal:
            raise Unsupported("orthogonal has no causal form: a triangular orthogonal matrix is diagonal")
        dtype = v.dtype
        q, k = hide_padding(padding_mask, q, k)
        q, k, v = (at_least_float32(x) for x in (q, k, v))  # a Gram matrix in half precision has 8 or 11 bits
        c = (self.alpha.to(q.dtype) / math.sqrt(self.head_dim))[:, None, None]
        return rotate(q, k, v, c).to(dtype)

    def init_projections(self, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor) -> None:
        init_projections(self.head_dim, w_q, w_k, w_v, w_o)


def build(shape: Shape, alpha: object) -> nn.Module:
    return Orthogonal(alpha_parameter(shape, alpha), shape.head_dim)


VARIANT = Variant(
    build=build,
    citation="Zhang and Martens 2026, Orthogonal Self-Attention, arXiv 2602.05996",
    family="orthogonal",
    formula="exp(α (Q Kᵀ − K Qᵀ) / √d) V",
    causal=False,
    normalises_rows=False,
    equivariant=True,
    orthogonal=True,
    time_exponent=1.0,
    memory_exponent=1.0,
    params={"alpha": None},
    reference=exponential,
)
