"""Orthogonal self-attention by the Cayley transform in place of the exponential, a control.

S = (alpha / sqrt(d)) (Q K^T - K Q^T), A = (I - S/2)^-1 (I + S/2), out = A V: orthogonal, and exp(S) up to the third order. With
U = [Q, K], J = [[0, I], [-I, 0]], c = alpha / sqrt(d), G = U^T U, and as (I - S/2)^-1 U = U (I - c J G / 2)^-1 (Woodbury's identity),

    A V = V + (I - S/2)^-1 S V = V + U (I - c J G / 2)^-1 c J U^T V

takes one linear system of size 2d x 2d. It is never singular: c J G has the eigenvalues of S, all imaginary, and zeros.

With `damping`, g = damping / num_layers, it is the transform of S - g I, whose singular values are in [|1 - g/2| / (1 + g/2), 1]. With
a = 1 + g/2 it is 2 (a I - S/2)^-1 - I, and so

    A V = (2/a - 1) V + (2/a) U (I - c J G / 2a)^-1 (c J U^T V / 2a)

A control for Zhang and Martens 2026, arXiv 2602.05996, and the formula of Miglior, Gravina and Bacciu 2026, arXiv 2609.39739, but for their
constant in place of c; the transform: Cayley 1846, as in Helfrich, Willmott and Ye 2018, arXiv 1707.09520.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnbench.attention import Heads, KVHeads, Matrix, PaddingMask, Variant
from attnbench.kernels.skew import apply_j, dense_skew, layer_damping, skew_builder, solve
from attnbench.kernels.skew_rows import cayley_quotient, skew_rows


def rotate(q: Tensor, k: Tensor, v: Tensor, c: Tensor, g: float) -> Tensor:
    """A v. The small system is solved in float64, for c J G is not normal, and its condition is the square of that of U."""
    u = torch.cat([q, k], dim=-1)
    # With seq_len near 2d or below G is close to singular, and its rounding alone would cost orthogonality.
    precise = torch.float64 if u.shape[-2] <= 2 * u.shape[-1] else u.dtype
    transposed = u.mT.to(precise)
    m = (c * apply_j(transposed @ u.to(precise))).double()
    target = (c * apply_j(transposed @ v.to(precise))).double()
    identity, a = torch.eye(m.shape[-1], dtype=m.dtype, device=m.device), 1.0 + g / 2
    moved = u @ solve(identity - m / (2 * a), target / a**2).to(u.dtype)
    return v + moved if a == 1.0 else (2 / a - 1) * v + moved


def cayley(module: nn.Module, q: Heads, k: KVHeads, causal: bool, padding_mask: PaddingMask | None) -> Matrix:
    """(I - X/2)^-1 (I + X/2) of the dense X = S - g I: the definition, for checking."""
    s = dense_skew(module, q, k, padding_mask)
    identity = torch.eye(s.shape[-1], dtype=s.dtype, device=s.device)
    half = (s - layer_damping(module) * identity) / 2
    return solve(identity - half, identity + half)


VARIANT = Variant(
    build=skew_builder("orthogonal_cayley", rotate),
    citation="A control for Zhang and Martens 2026, arXiv 2602.05996, by the transform of Cayley 1846",
    family="orthogonal",
    formula=r"(I - S/2)^{-1} (I + S/2) V,\quad S = \alpha(Q K^{\top} - K Q^{\top}) / \sqrt{d}",
    causal=False,
    normalises_rows=False,
    equivariant=True,
    orthogonal=True,
    orthogonal_unless=("damping",),
    time_exponent=1.0,
    memory_exponent=1.0,
    params={"alpha": None, "damping": 0.0},
    reference=cayley,
    reference_rows=skew_rows("orthogonal_cayley", cayley_quotient),
)
