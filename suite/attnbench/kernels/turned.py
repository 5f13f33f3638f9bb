"""The small matrices of exp(S) V: Y = T phi1(N) for N = c G J^T, T = F J^T, G symmetric, J = [[0, I], [-I, 0]], and the gradient.

N J is symmetric, so that J^T N^T J = -N. Where N is small, phi1 is a polynomial of N^2, economised (economised.py), whose gradient needs no
other product than with N and N^2 if it goes in turned coordinates. With H_0 = dY J, H_i = H_0 (N^2)^i, and Y_i the sum from term i on of
Y = sum_i (c_2i T + c_2i+1 T N) (N^2)^i,

    X = sum_i c_2i+1 H_i,   Z = sum_i H_i-1^T Y_i,   dF = sum_i c_2i H_i - X N,   dG = c P,   P = X^T T - N^T (Z - Z^T)

where dG, being that of a symmetric matrix, stands for its sum with its transpose. Where N is large phi1.py does it by scaling and squaring.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from attnbench.kernels import phi1
from attnbench.kernels.economised import Coefficients, coefficients

Square = Float[Tensor, "heads pair pair"]
Wide = Float[Tensor, "heads width pair"]
PullBack = Callable[[Wide], tuple[Square, Wide]]  # from dY: P and dF

DOUBLE = 2**-0.25  # the eigenvalues of N^2 are -t^2, each of them twice, and their squares sum up to no more than ||N^2||^2


def turned_phi1(n: Square, t: Wide, differentiable: bool) -> tuple[Wide, PullBack | None]:
    """T phi1(N) and its pull-back, if one is asked for. To be called where autograd is off."""
    if phi1.reads_back(n):
        square = torch.bmm(n, n)
        growth = math.sqrt(phi1.largest_norm(square, n))
        if growth <= phi1.SERIES_NORM:
            return _by_series(n, square, t, coefficients(DOUBLE * growth, torch.finfo(n.dtype).eps), differentiable)
    y, pull_back = phi1.phi1_and_pull_back(n.mT.contiguous(), t.mT.contiguous(), differentiable)

    def turned(gy: Wide) -> tuple[Square, Wide]:
        assert pull_back is not None
        gm, gt = pull_back(gy.mT)
        return turn(gm.mT, 1.0).mT, turn(gt.mT, 1.0)

    return y.mT, turned if differentiable else None


def _by_series(n: Square, square: Square, t: Wide, terms: Coefficients, differentiable: bool) -> tuple[Wide, PullBack | None]:
    even, odd = terms
    last = len(even) - 1
    tn = torch.bmm(t, n)
    sums = [torch.add(t, tn, alpha=odd[last] / even[last])]  # Y_i / c_2i, the last first
    for i in range(last - 1, -1, -1):
        term = torch.add(t, tn, alpha=odd[i] / even[i])
        sums.append(term.baddbmm_(sums[-1], square, alpha=even[i + 1] / even[i]))
    y = sums.pop()

    def pull_back(gy: Wide) -> tuple[Square, Wide]:
        h = turn(gy, 1.0)
        f, x, z = h.clone(), h * odd[0], torch.zeros_like(square)
        for i, total in enumerate(reversed(sums), start=1):
            z.baddbmm_(h.mT, total, alpha=even[i])
            h = torch.bmm(h, square)
            f.add_(h, alpha=even[i])
            x.add_(h, alpha=odd[i])
        skew = z - z.mT
        p = torch.bmm(x.mT, t, out=z).baddbmm_(n.mT, skew, alpha=-1.0)
        return p, f.baddbmm_(x, n, alpha=-1.0)

    return y, pull_back if differentiable else None


def turn(x: Float[Tensor, "heads rows pair"], scale: Tensor | float) -> Float[Tensor, "heads rows pair"]:
    """scale x J: minus the right half, then the left half. J^T is -J."""
    half = x.shape[-1] // 2
    turned = torch.empty_like(x, memory_format=torch.contiguous_format)
    torch.mul(x[..., half:], -scale, out=turned[..., :half])
    torch.mul(x[..., :half], scale, out=turned[..., half:])
    return turned
