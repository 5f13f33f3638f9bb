"""Polynomials that take the place of the series of phi1 on the imaginary axis, with fewer terms for the same accuracy.

On i [-r, r], where a matrix that is similar to a skew-symmetric one has its eigenvalues i t, with x = t^2 in [0, r^2],

    phi1(i t) = sin(t) / t + i t (1 - cos(t)) / t^2 = sum_i (-x)^i (1 / (2i+1)! + i t / (2i+2)!)

Of both sums the last term a x^n is replaced by a (x^n - 2 (r^2 / 4)^n T_n(2 x / r^2 - 1)), which has a lower degree and differs by at most
2 |a| (r^2 / 4)^n, as long as that is below rounding: Chebyshev economisation, Lanczos 1938.
"""

from __future__ import annotations

import math
from functools import lru_cache

STEPS_AN_OCTAVE = 16  # radii are rounded up to a power of 2^(1/16), so that the polynomials of a training run are found once
LEAST_EXPONENT = -10  # of a radius: at 2^-10 one pair of terms does in float32 already
ALLOWED = 1 / 16  # of the unit of rounding; gradients are some 2 n^2 times less exact than values at the end of the interval

Coefficients = tuple[tuple[float, ...], tuple[float, ...]]


def coefficients(radius: float, epsilon: float) -> Coefficients:
    """c_0 = 1, c_2, c_4, ... and c_1, c_3, ..., as many, of the polynomial sum_k c_k z^k that is phi1(z) for imaginary z, to rounding.

    radius: up to which z it is, finite and at least 0. epsilon: the unit of rounding.
    """
    exponent = LEAST_EXPONENT if radius == 0.0 else max(LEAST_EXPONENT, math.log2(radius))
    return _coefficients(math.ceil(exponent * STEPS_AN_OCTAVE), epsilon)


@lru_cache(512)
def _coefficients(step: int, epsilon: float) -> Coefficients:
    radius = 2 ** (step / STEPS_AN_OCTAVE)
    square = radius**2
    # In units of r^2, of (x / r^2)^i, up to a term without effect.
    sums: list[list[float]] = [[], []]
    while len(sums[0]) < 2 or abs(sums[0][-1]) > epsilon / 64:
        i = len(sums[0])
        for odd_ones, terms in enumerate(sums):
            terms.append((-square) ** i / math.factorial(2 * i + 1 + odd_ones))
    left = ALLOWED * epsilon / max(1.0, radius)
    while len(sums[0]) > 1:
        chebyshev = _shifted_chebyshev(len(sums[0]) - 1)
        shares = [terms[-1] / chebyshev[-1] for terms in sums]
        left -= max(abs(shares[0]), radius * abs(shares[1]))
        if left < 0.0:
            break
        sums = [[a - share * b for a, b in zip(terms[:-1], chebyshev, strict=False)] for terms, share in zip(sums, shares, strict=True)]
    # (M^2)^i stands for (-x)^i. The first of all is one, but for less than is allowed.
    even, odd = (tuple(a / (-square) ** i for i, a in enumerate(terms)) for terms in sums)
    return (1.0, *even[1:]), odd


def _shifted_chebyshev(degree: int) -> list[int]:
    """The coefficients of T_n(2 y - 1), from y^0 to y^n."""
    before, last = [1], [-1, 2]
    for _ in range(degree - 1):
        following = [0] * (len(last) + 1)
        for i, a in enumerate(last):
            following[i] -= 2 * a
            following[i + 1] += 4 * a
        for i, a in enumerate(before):
            following[i] -= a
        before, last = last, following
    return last if degree else before
