"""phi1(M) W for batches of small square matrices, phi1(M) = (exp(M) - I) M^-1 = sum_k M^k / (k+1)!.

Scaling and squaring without a division, so that M may be singular: phi1(2M) = (exp(M) + I) phi1(M) / 2 and exp(2M) = exp(M)^2.
Where the norm is at most 1 the series is applied to W itself, one fused product a term. Higham 2008, Functions of Matrices, 10.7.4.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

# On CUDA the number of doublings is fixed, for reading the norm back would stall the device; 2^20 covers norms up to a million.
DOUBLINGS_WITHOUT_READING = 20
MOST_DOUBLINGS = 60
FLOAT32_NORM = 8.0
SERIES_TERMS = 16  # at norm 1 the first dropped term is 1/17! = 3e-15
_COEFFICIENTS = [1 / math.factorial(k + 1) for k in range(SERIES_TERMS)]

Square = Float[Tensor, "*batch n n"]
Block = Float[Tensor, "*batch n m"]


def phi1_times(m: Square, w: Block) -> Block:
    """phi1(m) w, in the dtype of m.

    The work is done in float64 where the norm of m is above 8: float32 would lose orthogonality to the squarings. Differentiable.
    A matrix that is not finite gives a result that is not finite, and only its own; nothing is raised, and time is bounded.
    """
    if m.device.type != "cpu":
        return (_phi1(m.double(), DOUBLINGS_WITHOUT_READING) @ w.double()).to(w.dtype)
    norms = m.detach().abs().sum(-2)
    # On the CPU reading this waits for nothing. A matrix that is not finite must not choose for the rest of the batch.
    norm = float(norms.masked_fill(~norms.isfinite(), 0.0).max()) if norms.numel() else 0.0
    if norm <= 1.0:
        return _series_times(m, w, _terms(norm))
    doublings = min(MOST_DOUBLINGS, math.ceil(math.log2(norm)))
    if norm <= FLOAT32_NORM:
        return _phi1(m, doublings) @ w
    return (_phi1(m.double(), doublings) @ w.double()).to(w.dtype)


def _series_times(m: Square, w: Block, terms: int) -> Block:
    """Horner's rule on the block: w + m/2 (w + m/3 (w + ...))."""
    flat_m, flat_w = m.reshape(-1, *m.shape[-2:]), w.reshape(-1, *w.shape[-2:])
    total = flat_w
    for k in range(terms, 1, -1):
        total = torch.baddbmm(flat_w, flat_m, total, alpha=1 / k)
    return total.view_as(w)


def _terms(norm: float) -> int:
    """How many terms of the series leave less than 1e-16 of the first, for a norm of at most 1."""
    return next((k for k in range(2, SERIES_TERMS) if norm**k / math.factorial(k + 1) < 1e-16), SERIES_TERMS)


def _phi1(m: Square, doublings: int) -> Square:
    m = m * 0.5**doublings
    phi = _series(m)
    identity = torch.eye(m.shape[-1], dtype=m.dtype, device=m.device)
    exp = identity + m @ phi
    for step in range(doublings):
        phi = (exp + identity) @ phi / 2
        if step + 1 < doublings:
            # Squared, not I + m phi again: that would multiply the error of phi by the norm at every doubling.
            exp = exp @ exp
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
