"""Orthogonal self-attention as published: the exponential in an orthonormal basis of [Q, K], found by QR.

S = (alpha / sqrt(d)) (Q K^T - K Q^T), A = exp(S) = I + B (exp(B^T S B) - I) B^T with [Q, K] = B R, out = A V: QR of a seq_len x 2d
matrix and the exponential of a 2d x 2d matrix. Exact at any rank, also when seq_len is below 2d; gradients in kernels/basis.py.

Zhang and Martens 2026, arXiv 2602.05996.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnbench.attention import Shape, Variant
from attnbench.kernels.basis import rotate_in_basis
from attnbench.kernels.skew import SkewAttention, alpha_parameter, exponential


def rotation(u: Tensor, c: Tensor, v: Tensor) -> Tensor:
    """(A - I) v. Householder's QR gives orthonormal columns at any rank."""
    with torch.no_grad():
        basis = torch.linalg.qr(u).Q
    return rotate_in_basis(u, basis, c, v)


def build(shape: Shape, alpha: object) -> nn.Module:
    return SkewAttention("orthogonal_qr", alpha_parameter(shape, alpha), shape.head_dim, rotation)


VARIANT = Variant(
    build=build,
    citation="Zhang and Martens 2026, Orthogonal Self-Attention, arXiv 2602.05996",
    family="orthogonal",
    formula="exp(α (Q Kᵀ − K Qᵀ) / √d) V by QR",
    causal=False,
    normalises_rows=False,
    equivariant=True,
    orthogonal=True,
    time_exponent=1.0,
    memory_exponent=1.0,
    params={"alpha": None},
    reference=exponential,
)
