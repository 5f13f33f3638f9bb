"""The series of phi1 applied to a block, sum_k M^k W / (k+1)!, and its gradient.

Even and odd terms go together, two a step, so that each step is one product of M^2 with the block (Horner's rule):

    phi1(M) W = sum_i (M^2)^i (c_2i W + c_2i+1 M W),    c_k = 1 / (k+1)!

The gradient of M^2 collects one product a step in place; by autograd it would be a new matrix a step, and the time three times as long.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

MOST_PAIRS = 24

Square = Float[Tensor, "batch n n"]
Block = Float[Tensor, "batch n m"]


def pairs_needed(growth: float, norm: float, epsilon: float) -> int:
    """How many pairs of terms leave less than epsilon / 8, where ||M^2|| is at most growth^2 and ||M|| at most norm."""
    for pairs in range(1, MOST_PAIRS):
        dropped = growth ** (2 * pairs) * (1 / math.factorial(2 * pairs + 1) + norm / math.factorial(2 * pairs + 2))
        if dropped < epsilon / 8:
            return pairs
    return MOST_PAIRS


def phi1_series(m: Square, square: Square, w: Block, pairs: int) -> tuple[Block, list[Block]]:
    """The first 2 * pairs terms, where `square` is m @ m; and the partial sums, last step first, that the gradient needs."""
    x = torch.bmm(m, w)
    totals = [(w * _even(pairs - 1)).add_(x, alpha=_odd(pairs - 1))]
    for i in range(pairs - 2, -1, -1):
        # c_2i (w + x c_2i+1 / c_2i), made in place of a third tensor a step
        term = torch.add(w, x, alpha=_odd(i) / _even(i))
        totals.append(term.baddbmm_(square, totals[-1], beta=_even(i)))
    return totals.pop(), totals


def pull_back_series(m: Square, square: Square, w: Block, totals: list[Block], upstream: Block) -> tuple[Square, Block]:
    """Gradients of m (that of its square included) and w, from that of the sum."""
    gw, gx = upstream * _even(0), upstream * _odd(0)
    g, spare = upstream, [torch.empty_like(gw), torch.empty_like(gw)]
    g_square = torch.zeros_like(square)
    for i, total in enumerate(reversed(totals), start=1):
        g_square.baddbmm_(g, total.mT)
        g = torch.bmm(square.mT, g, out=spare[i % 2])
        gw.add_(g, alpha=_even(i))
        gx.add_(g, alpha=_odd(i))
    gm = torch.bmm(gx, w.mT)
    gm.baddbmm_(g_square, m.mT).baddbmm_(m.mT, g_square)
    return gm, gw.baddbmm_(m.mT, gx)


def _even(i: int) -> float:
    return 1 / math.factorial(2 * i + 1)


def _odd(i: int) -> float:
    return 1 / math.factorial(2 * i + 2)
