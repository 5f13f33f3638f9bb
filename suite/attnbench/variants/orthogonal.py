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

from attnbench.attention import BadInput, Heads, Matrix, PaddingMask, Shape, Unsupported, Variant, hide_padding
from attnbench.kernels.phi1 import phi1_times


class Orthogonal(nn.Module):
    """alpha, the first parameter, has shape [num_heads] and is used as it is: 0 makes A the identity."""

    def __init__(self, num_heads: int, head_dim: int, alpha: float) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.full((num_heads,), float(alpha)))
        self.head_dim = head_dim

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        if causal:
            raise Unsupported("orthogonal has no causal form: a triangular orthogonal matrix is diagonal")
        q, k, v = hide_padding(padding_mask, q, k, v)
        return hide_padding(padding_mask, v + self._rotation(q, k, v))[0]

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        """exp(S); on padded rows it is the identity, whatever `forward` shows there."""
        if causal:
            raise Unsupported("orthogonal has no causal form: a triangular orthogonal matrix is diagonal")
        q, k = hide_padding(padding_mask, q, k)
        identity = torch.eye(q.shape[-2], dtype=q.dtype, device=q.device).expand(*q.shape[:2], -1, -1)
        return identity + self._rotation(q, k, identity)

    def _rotation(self, q: Heads, k: Heads, v: Tensor) -> Tensor:
        """(exp(S) - I) v."""
        dtype = v.dtype
        if dtype in (torch.bfloat16, torch.float16):  # their Gram matrix would be rounded to 8 or 11 bits
            q, k, v = q.float(), k.float(), v.float()
        u = torch.cat([q, k], dim=-1)
        # With N near 2d or below G is close to singular, and its rounding alone costs orthogonality where the norm is large.
        precise = torch.float64 if u.shape[-2] <= 3 * self.head_dim else u.dtype
        transposed = u.mT.to(precise)
        c = (self.alpha.to(precise) / math.sqrt(self.head_dim))[:, None, None]
        gram = c * _apply_j(transposed @ u.to(precise))
        target = c * _apply_j(transposed @ v.to(precise))
        return (u @ phi1_times(gram, target).to(u.dtype)).to(dtype)

    def init_projections(self, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor) -> None:
        """The paper's initialisation, in place: [W_Q, W_K] jointly orthonormal per head, W_V and W_O orthogonal."""
        d = self.head_dim
        with torch.no_grad():
            for head in range(self.alpha.shape[0]):
                rows = slice(head * d, (head + 1) * d)
                joint = torch.empty(2 * d, w_q.shape[1], dtype=w_q.dtype, device=w_q.device)
                nn.init.orthogonal_(joint)
                w_q[rows], w_k[rows] = joint[:d], joint[d:]
            nn.init.orthogonal_(w_v)
            nn.init.orthogonal_(w_o)


def _apply_j(x: Tensor) -> Tensor:
    """J x for J = [[0, I], [-I, 0]]: the lower half, then minus the upper half."""
    upper, lower = x.chunk(2, dim=-2)
    return torch.cat([lower, -upper], dim=-2)


def initial_alpha(head_dim: int, seq_len: int | None) -> float:
    """An alpha at which the norm of S is about 1 for unit-variance queries and keys; without a known length N = 64 is taken.

    That norm is about alpha (N + 2 sqrt(N d)) / sqrt(d). At 1 twelve skipless blocks (N = 16, d = 16) have a Jacobian with a condition
    number of 100 to 180, at 1/2 of about 25; but at 1/2 attention mixes less at first, and training is slower.
    """
    length = seq_len or 64
    return math.sqrt(head_dim) / (length + 2 * math.sqrt(length * head_dim))


def build(shape: Shape, alpha: object) -> nn.Module:
    if alpha is not None and (type(alpha) not in (int, float) or not math.isfinite(alpha)):  # type: ignore[arg-type]
        raise BadInput(f"alpha is {alpha!r}; give a finite number, or None for one chosen from seq_len and head_dim")
    start = initial_alpha(shape.head_dim, shape.seq_len) if alpha is None else alpha
    return Orthogonal(shape.num_heads, shape.head_dim, float(start))  # type: ignore[arg-type]


def exponential(module: nn.Module, q: Heads, k: Heads, causal: bool, padding_mask: PaddingMask | None) -> Matrix:
    """exp(S) by torch.linalg.matrix_exp of the dense S: the definition, for checking."""
    q, k = hide_padding(padding_mask, q, k)
    c = module.get_parameter("alpha").to(q.dtype)[:, None, None] / math.sqrt(q.shape[-1])
    return torch.linalg.matrix_exp(c * (q @ k.mT - k @ q.mT))


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
