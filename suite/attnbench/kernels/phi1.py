"""phi1(M) W for batches of small square matrices, phi1(M) = (exp(M) - I) M^-1 = sum_k M^k / (k+1)!.

Where M is small enough the series is applied to W itself, in series.py. Otherwise by scaling and squaring without a division, so that M
may be singular: phi1(2M) = (exp(M) + I) phi1(M) / 2 and exp(2M) = exp(M)^2. Higham 2008, Functions of Matrices, 10.7.4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from attnbench.kernels.series import pairs_needed, phi1_series, pull_back_series

# On CUDA the number of doublings is fixed, for reading the norm back would stall the device; 2^20 covers norms up to a million.
DOUBLINGS_WITHOUT_READING = 20
MOST_DOUBLINGS = 60
FLOAT32_NORM = 8.0  # up to which float32 does; beyond it float64 is used
SERIES_NORM = 4.0  # the terms of the series grow to 13 times its sum there, which costs one digit
SERIES_TERMS = 16  # at norm 1 the first dropped term is 1/17! = 3e-15
_COEFFICIENTS = [1 / math.factorial(k + 1) for k in range(SERIES_TERMS)]

Square = Float[Tensor, "*batch n n"]
Block = Float[Tensor, "*batch n m"]
PullBack = Callable[[Tensor], tuple[Tensor, Tensor]]


def phi1_times(m: Square, w: Block) -> Block:
    """phi1(m) w, in the dtype of m.

    The work is done in float64 where the norm of m is above 8: float32 would lose orthogonality to the squarings. Differentiable once.
    A matrix that is not finite gives a result that is not finite, and only its own; nothing is raised, and time is bounded.
    """
    out: Tensor = _Phi1.apply(m, w)  # type: ignore[no-untyped-call]
    return out


class _Phi1(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, m: Tensor, w: Tensor) -> Tensor:
        out, ctx.pull_back = phi1_and_pull_back(m, w, any(ctx.needs_input_grad))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, ...]:
        return ctx.pull_back(upstream)


def phi1_and_pull_back(m: Square, w: Block, differentiable: bool) -> tuple[Block, PullBack | None]:
    """phi1(m) w, and the function from its gradient to those of m and w, if one is asked for. To be called where autograd is off."""
    if not reads_back(m):
        return _by_autograd(m, w, DOUBLINGS_WITHOUT_READING, torch.float64, differentiable)
    # M is far from normal: its powers grow like sqrt(||M^2||), about half of ||M||.
    square = m @ m
    norm, growth = largest_norm(m, m), math.sqrt(largest_norm(square, m))
    if growth > SERIES_NORM:
        doublings = MOST_DOUBLINGS if math.isinf(norm) else min(MOST_DOUBLINGS, math.ceil(math.log2(norm)))
        return _by_autograd(m, w, doublings, m.dtype if norm <= FLOAT32_NORM else torch.float64, differentiable)
    flat_m, flat_square, flat_w = (x.reshape(-1, *x.shape[-2:]) for x in (m, square, w))
    pairs = pairs_needed(growth, norm, torch.finfo(m.dtype).eps)
    out, totals = phi1_series(flat_m, flat_square, flat_w, pairs)

    def pull_back(upstream: Tensor) -> tuple[Tensor, Tensor]:
        gm, gw = pull_back_series(flat_m, flat_square, flat_w, totals, upstream.reshape(flat_w.shape))
        return gm.view(m.shape), gw.view(w.shape)

    return out.view(w.shape), pull_back if differentiable else None


def _by_autograd(m: Square, w: Block, doublings: int, dtype: torch.dtype, differentiable: bool) -> tuple[Block, PullBack | None]:
    with torch.set_grad_enabled(differentiable):
        leaves = m.detach().requires_grad_(differentiable), w.detach().requires_grad_(differentiable)
        out = (_phi1(leaves[0].to(dtype), doublings) @ leaves[1].to(dtype)).to(w.dtype)

    def pull_back(upstream: Tensor) -> tuple[Tensor, Tensor]:
        gm, gw = torch.autograd.grad(out, leaves, upstream, retain_graph=True)  # the caller may come again
        return gm, gw

    return out.detach(), pull_back if differentiable else None


def reads_back(x: Tensor) -> bool:
    """Whether a number may be read from a tensor's device: on the CPU that waits for nothing, elsewhere it would stall the device."""
    return x.device.type == "cpu"


def largest_norm(x: Square, of: Square) -> float:
    """The largest Frobenius norm in a batch, where x is made of the matrices `of`; infinite where it leaves the range of the dtype.

    A matrix of `of` that is not finite does not count: it must not choose for the rest of the batch.
    """
    norms = torch.linalg.vector_norm(x.flatten(-2), dim=-1)
    largest = float(norms.max()) if norms.numel() else 0.0
    if math.isfinite(largest):
        return largest
    finite = of.isfinite().flatten(-2).all(-1)
    return float(torch.where(norms.isnan(), math.inf, norms).masked_fill(~finite, 0.0).max())


def _phi1(m: Square, doublings: int) -> Square:
    m = m * 0.5**doublings
    phi = _series(m)
    # exp(m) - I, for beside the identity the digits of a small m would be lost, and every doubling would double that loss.
    beyond = m @ phi
    for step in range(doublings):
        phi = phi + beyond @ phi / 2
        if step + 1 < doublings:
            # Squared, not m phi again: that would multiply the error of phi by the norm at every doubling.
            beyond = 2 * beyond + beyond @ beyond
    return phi


def _series(m: Square) -> Square:
    """All terms in blocks of four powers (Paterson and Stockmeyer 1973): six products instead of fifteen."""
    m2 = m @ m
    m3 = m2 @ m
    m4 = m2 @ m2
    identity = torch.eye(m.shape[-1], dtype=m.dtype, device=m.device)

    def block(start: int) -> Square:
        c0, c1, c2, c3 = _COEFFICIENTS[start : start + 4]
        return torch.add(torch.add(c0 * identity + c1 * m, m2, alpha=c2), m3, alpha=c3)

    total = block(12)
    for start in (8, 4, 0):
        total = total @ m4 + block(start)
    return total
