"""Symmetric power attention: an even power of q . k, normalised over the keys, exactly and in linear time.

A_ij = (q_i . k_j)^p / sum_j (q_i . k_j)^p for an even p, out = A V; a row whose every score is zero is zero. A factor on the scores would
cancel. Numerator and denominator are polynomial attention over V and over ones: by symmetric features, or in tiles where seq_len is too
short for these to pay.

[M] On two cores, 4 heads of 64, degree 2, training at 4,096 tokens takes 0.6 to 0.7 of fused softmax's time. Causal, where that does half
the work and features nearly all of theirs, tiles serve up to about 5,000 tokens, at about its time.

Buckman, Gelada, Zhang 2024, Symmetric Power Transformers, Manifest AI.
"""

from __future__ import annotations

import math

from torch import nn

from attnbench.attention import BadInput, Heads, Matrix, PaddingMask, Shape, Variant, hide_padding
from attnbench.kernels.cache import Cache
from attnbench.kernels.definition import Seen, Weights, rows_of_matrix
from attnbench.kernels.linear import normalise_rows
from attnbench.kernels.polynomial import normalised_polynomial_attention
from attnbench.kernels.polynomial_step import PolynomialState, normalised_polynomial_step, polynomial_prefill


class Power(nn.Module):
    """degree: the even power, at least 2."""

    def __init__(self, degree: object) -> None:
        super().__init__()
        if type(degree) is not int or degree < 2 or degree % 2:
            raise BadInput(f"degree is {degree!r}; give an even whole number of at least 2, for an odd power has negative weights")
        self.degree: int = degree
        self.coefficients = ((degree, 1.0),)

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        q, k, v = hide_padding(padding_mask, q, k, v)
        return normalised_polynomial_attention(q, k, v, self.coefficients, causal, padding_mask)

    def init_state(self, batch_size: int) -> PolynomialState:
        return PolynomialState(Cache(batch_size))

    def prefill(self, q: Heads, k: Heads, v: Heads) -> PolynomialState:
        return polynomial_prefill(k, v, self.coefficients)

    def step(self, q: Heads, k: Heads, v: Heads, state: PolynomialState) -> tuple[Heads, PolynomialState]:
        return normalised_polynomial_step(q, k, v, state, self.coefficients)

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        q, k = hide_padding(padding_mask, q, k)
        return normalise_rows((q @ k.mT / math.sqrt(q.shape[-1])) ** self.degree, causal, padding_mask)


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """s^p, its rows normalised."""
    assert isinstance(module, Power)
    return seen.normalised(seen.scores() ** module.degree)


def build(shape: Shape, degree: object) -> nn.Module:
    return Power(degree)


VARIANT = Variant(
    build=build,
    citation="Buckman, Gelada, Zhang 2024, Symmetric Power Transformers, Manifest AI",
    family="polynomial",
    formula=r"(Q K^{\top})^{2} V / \sum(Q K^{\top})^{2}",
    causal=True,
    normalises_rows=True,
    equivariant=True,
    time_exponent=1.0,
    memory_exponent=1.0,
    params={"degree": 2},
    reference_rows=rows_of_matrix(rows_by_definition),
)
