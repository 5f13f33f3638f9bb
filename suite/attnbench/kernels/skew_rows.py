"""Rows of f(S) V by definition, S = c U J U^T, U = [Q, K]: in an orthonormal basis of the columns of U, found by QR; linear in seq_len.

With U = B R and T = B^T S B = c R J R^T, and for an f that is 1 at 0,

    f(S) = I + B (f(T) - I) B^T = I + c B g(T) R J U^T,    g(T) = (f(T) - I) T^-1

where g has no pole: g is phi1 for the exponential, and (I - T/2)^-1 for Cayley's (I - S/2)^-1 (I + S/2).

Gradient. B is taken as constant, for the QR of a U that lacks full rank has no derivative. What of dU lies outside the span of B, X, has
S X = 0, and adds c X J R^T g(T) B^T + c B g(T) R J X^T to the differential of f(S). The second term is in the formula above already; the
first is added to it, with X = U - B R, which is zero in value. So the first derivative is exact, at any rank.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attnbench.attention import ReferenceRows, Unsupported, at_least_float32
from attnbench.kernels.definition import Seen, per_head, rows_by

Square = Float[Tensor, "batch heads rank rank"]


def skew_rows(name: str, g: Callable[[Square], Square]) -> ReferenceRows:
    """The `reference_rows` of the orthogonal form with this g, which is given T."""

    def output(module: nn.Module, seen: Seen) -> Tensor:
        if seen.causal:
            raise Unsupported(f"{name} has no causal form: a triangular orthogonal matrix is diagonal")
        u, v = at_least_float32(torch.cat([seen.all_q, seen.k], dim=-1)), at_least_float32(seen.v)
        basis = torch.linalg.qr(u.detach()).Q
        r = basis.mT @ u
        turned = per_head(module, "alpha", u) / math.sqrt(seen.k.shape[-1]) * _times_j(r)  # c R J
        inner = g(turned @ r.mT)
        at_rows, across = basis[..., seen.rows, :], (u - basis @ r)[..., seen.rows, :]
        # J^T = -J: c J R^T is minus the transpose of c R J.
        moved = at_rows @ (inner @ (turned @ (u.mT @ v))) - across @ (turned.mT @ (inner @ (basis.mT @ v)))
        return (v[..., seen.rows, :] + moved).to(seen.v.dtype)

    return rows_by(output)


def phi1(t: Square) -> Square:
    """phi1(T) = sum_k T^k / (k+1)!, the upper right block of exp([[T, I], [0, 0]])."""
    identity = torch.eye(t.shape[-1], dtype=t.dtype, device=t.device).expand_as(t)
    nothing = torch.zeros_like(t)
    block = torch.cat([torch.cat([t, identity], dim=-1), torch.cat([nothing, nothing], dim=-1)], dim=-2)
    return torch.linalg.matrix_exp(block)[..., : t.shape[-1], t.shape[-1] :]


def inverse_half(t: Square) -> Square:
    """(I - T/2)^-1 = (I + T^T T / 4)^-1 (I + T/2) for a skew-symmetric T, by Cholesky."""
    identity = torch.eye(t.shape[-1], dtype=t.dtype, device=t.device)
    return torch.cholesky_solve(identity + t / 2, torch.linalg.cholesky(identity + t.mT @ t / 4))


def _times_j(r: Float[Tensor, "*batch rank pair"]) -> Float[Tensor, "*batch rank pair"]:
    """R J for J = [[0, I], [-I, 0]]: minus the right half, then the left half."""
    left, right = r.chunk(2, dim=-1)
    return torch.cat([-right, left], dim=-1)
