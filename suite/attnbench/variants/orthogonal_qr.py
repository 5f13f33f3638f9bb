"""Orthogonal self-attention as published: the exponential in an orthonormal basis of [Q, K], found by QR.

S = (alpha / sqrt(d)) (Q K^T - K Q^T), A = exp(S) = I + B (exp(B^T S B) - I) B^T with [Q, K] = B R, out = A V: QR of a seq_len x 2d
matrix and the exponential of a 2d x 2d matrix. Exact at any rank, also when seq_len is below 2d; gradients in kernels/basis.py.

Zhang and Martens 2026, arXiv 2602.05996.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attnbench.attention import Variant
from attnbench.kernels.basis import rotate_by
from attnbench.kernels.skew import damped, exponential, skew_builder
from attnbench.kernels.skew_rows import exponential_quotient, skew_rows


def orthonormal_basis(u: Tensor) -> Tensor:
    """Of the columns of u: Householder's QR gives orthonormal columns at any rank."""
    return torch.linalg.qr(u).Q


VARIANT = Variant(
    build=skew_builder("orthogonal_qr", damped(rotate_by(orthonormal_basis))),
    citation="Zhang and Martens 2026, Orthogonal Self-Attention, arXiv 2602.05996",
    family="orthogonal",
    formula=r"\operatorname{exp}(\alpha(Q K^{\top} - K Q^{\top}) / \sqrt{d}) V\text{ by QR}",
    causal=False,
    normalises_rows=False,
    equivariant=True,
    orthogonal=True,
    orthogonal_unless=("damping",),
    time_exponent=1.0,
    memory_exponent=1.0,
    params={"alpha": None, "damping": 0.0},
    reference=exponential,
    reference_rows=skew_rows("orthogonal_qr", exponential_quotient),
)
