"""Rows of f(S) V by definition, S = c U J U^T, U = [Q, K]: in an orthonormal basis of the columns of U, found by QR; linear in seq_len.

With U = B R and T = B^T S B = c R J R^T,

    f(S) = f(0) I + B (f(T) - f(0) I) B^T = f(0) I + c B g(T) R J U^T,    g(T) = (f(T) - f(0) I) T^-1

where g, the difference quotient of f at 0, has no pole.

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
from attnbench.kernels.skew import layer_damping

Square = Float[Tensor, "batch heads rank rank"]
Quotient = Callable[[Square, float], tuple[float, Square]]

TERMS = 20  # of the series of phi1 at norm 1: what follows is below 1 / 21!, less than the rounding of float64


def skew_rows(name: str, quotient: Quotient) -> ReferenceRows:
    """The `reference_rows` of the orthogonal form whose f(0) and g(T) `quotient(T, damping of the layer)` gives."""

    def output(module: nn.Module, seen: Seen) -> Tensor:
        if seen.causal:
            raise Unsupported(f"{name} has no causal form: a triangular orthogonal matrix is diagonal")
        u, v = at_least_float32(torch.cat([seen.all_q, seen.k], dim=-1)), at_least_float32(seen.v)
        basis = torch.linalg.qr(u.detach()).Q
        r = basis.mT @ u
        turned = per_head(module, "alpha", u) / math.sqrt(seen.k.shape[-1]) * _times_j(r)  # c R J
        at_zero, inner = quotient(turned @ r.mT, layer_damping(module))
        at_rows, across = basis[..., seen.rows, :], (u - basis @ r)[..., seen.rows, :]
        # J^T = -J: c J R^T is minus the transpose of c R J.
        moved = at_rows @ (inner @ (turned @ (u.mT @ v))) - across @ (turned.mT @ (inner @ (basis.mT @ v)))
        return (at_zero * v[..., seen.rows, :] + moved).to(seen.v.dtype)

    return rows_by(output)


def exponential_quotient(t: Square, damping: float) -> tuple[float, Square]:
    """Of f(S) = exp(S - damping I): e^-damping, and that times phi1."""
    kept = math.exp(-damping)
    return kept, kept * phi1(t)


def cayley_quotient(t: Square, damping: float) -> tuple[float, Square]:
    """Of f(S) = (I - X/2)^-1 (I + X/2), X = S - damping I, which is 2 (a I - S/2)^-1 - I, a = 1 + damping / 2.

    2 (a I - T/2)^-1 - 2/a I = T (a^2 I - a T/2)^-1.
    """
    a = 1.0 + damping / 2
    return 2 / a - 1, inverse_half(t / a) / a**2


def phi1(t: Square) -> Square:
    """phi1(T) = sum_k T^k / (k+1)!: its series where the norm is at most 1, then phi1(2 M) = (e^M + I) phi1(M) / 2 up to T.

    e^M is orthogonal and is squared by itself, so that rounding at most doubles with M. (torch's exponential of [[T, I], [0, 0]] holds phi1
    too, but at twice the size, and at four times in its gradient.)
    """
    norm = float(t.detach().abs().sum(-1).amax()) if t.numel() else 0.0
    doublings = max(0, math.ceil(math.log2(norm))) if 0.0 < norm < math.inf else 0
    identity = torch.eye(t.shape[-1], dtype=t.dtype, device=t.device)
    m, phi = t / 2**doublings, identity
    for k in range(TERMS, 1, -1):
        phi = identity + m @ phi / k
    exponential = identity + m @ phi
    for _ in range(doublings):
        phi, exponential = (exponential + identity) @ phi / 2, exponential @ exponential
    return phi


def inverse_half(t: Square) -> Square:
    """(I - T/2)^-1 = (I + T^T T / 4)^-1 (I + T/2) for a skew-symmetric T, by Cholesky."""
    identity = torch.eye(t.shape[-1], dtype=t.dtype, device=t.device)
    return torch.cholesky_solve(identity + t / 2, torch.linalg.cholesky(identity + t.mT @ t / 4))


def _times_j(r: Float[Tensor, "*batch rank pair"]) -> Float[Tensor, "*batch rank pair"]:
    """R J for J = [[0, I], [-I, 0]]: minus the right half, then the left half."""
    left, right = r.chunk(2, dim=-1)
    return torch.cat([-right, left], dim=-1)
