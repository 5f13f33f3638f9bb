"""(exp(S) - I) v by an orthonormal basis of the space in which S acts: what QR and Newton-Schulz are used for.

S = c U J U^T is skew-symmetric, and zero outside the span of U, so that with a basis B of that span (or of more)

    exp(S) = I + B (exp(T) - I) B^T,    T = B^T S B = c R J R^T,    R = B^T U.

B may also have zero columns, or be any partial isometry: only B B^T = projection onto a space that holds U is used.

Gradient. B is taken as a constant, for it may be no smooth function of U: where the rank of U falls short, it is not even unique. That
is exact for the part of dU inside the span of B. The part across it, X, has S X = 0, so that exp(tS) X = X and

    d exp(S) = int_0^1 exp(tS) dS exp((1-t)S) dt = c X J U^T phi1(S) + phi1(S) c U J X^T = X K B^T - B exp(T) K^T X^T,

K = c J R^T phi1(T), by phi1(T) = exp(T) phi1(-T) and J^T = -J. As X = U - B R is zero in value, adding that term with K, B and exp(T)
constant makes the first derivative exact and leaves the value alone. Second derivatives by U or c would be wrong, and are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from attnbench.kernels.phi1 import FLOAT32_NORM, phi1_times
from attnbench.kernels.skew import Rotate, apply_j

Square = Float[Tensor, "batch heads rank rank"]


def rotate_by(find_basis: Callable[[Tensor], Tensor]) -> Rotate:
    """exp(S) v by the basis that `find_basis` gives for the columns of [q, k]."""

    def rotate(q: Tensor, k: Tensor, v: Tensor, c: Tensor) -> Tensor:
        u = torch.cat([q, k], dim=-1)
        with torch.no_grad():
            basis = find_basis(u)
        return v + rotate_in_basis(u, basis, c, v)

    return rotate


def rotate_in_basis(
    u: Float[Tensor, "batch heads seq_len columns"],
    basis: Float[Tensor, "batch heads seq_len rank"],
    c: Float[Tensor, "heads 1 1"],
    v: Float[Tensor, "batch heads seq_len width"],
) -> Float[Tensor, "batch heads seq_len width"]:
    """(exp(c U J U^T) - I) v, where the columns of `basis`, taken as constant, span those of u."""
    basis = basis.detach()
    r = basis.mT @ u
    left, right = r.chunk(2, dim=-1)
    product = c * (left @ right.mT)
    t = product - product.mT  # R J R^T = R_q R_k^T - R_k R_q^T
    exponential = _Exponential.apply(t)  # type: ignore[no-untyped-call]
    inner = basis.mT @ v
    out = basis @ (exponential @ inner - inner)
    if not (torch.is_grad_enabled() and u.requires_grad):
        return out
    with torch.no_grad():
        k = phi1_times(-t, (c * apply_j(r.mT)).mT).mT
        turned = basis @ (exponential @ k.mT)
    across = u - basis @ r
    return out + across @ (k @ inner) - turned @ (across.mT @ v)


class _Exponential(torch.autograd.Function):
    """exp(t), in float64 where float32 would lose orthogonality to the squarings.

    Its derivative is the upper right block of exp([[t^T, g], [0, t^T]]), as in torch's own. But g, in which it is linear, is first brought
    to norm 1: torch scales the block by the norm of g and squares it up again, which costs two digits in float32 (N = 129, d = 64).
    """

    @staticmethod
    def forward(t: Square) -> Square:
        return exponential_of(_wide(t)).to(t.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Square) -> Square:
        t = _wide(ctx.saved_tensors[0]).mT
        size = torch.linalg.matrix_norm(gradient, keepdim=True)
        direction = (gradient / size.masked_fill(size == 0.0, 1.0)).to(t.dtype)
        upper, lower = torch.cat([t, direction], dim=-1), torch.cat([torch.zeros_like(t), t], dim=-1)
        block = exponential_of(torch.cat([upper, lower], dim=-2))
        return size * block[..., : t.shape[-1], t.shape[-1] :].to(gradient.dtype)


def exponential_of(t: Square) -> Square:
    """exp(t). On other devices than the CPU as I + phi1(t) t, because torch's own waits for norms to be read back."""
    if t.device.type == "cpu":
        return torch.linalg.matrix_exp(t)
    return exponential_by_phi1(t)


def exponential_by_phi1(t: Square) -> Square:
    """exp(t) as I + phi1(t) t, which reads nothing back from the device."""
    return torch.eye(t.shape[-1], dtype=t.dtype, device=t.device) + phi1_times(t, t)


def _wide(t: Square) -> Square:
    """t in float64, or as it is where it is on the CPU and its norm is at most 8; reading the norm of another device would wait."""
    if t.device.type == "cpu" and not (t.abs().sum(-1) > FLOAT32_NORM).any():
        return t
    return t.double()
