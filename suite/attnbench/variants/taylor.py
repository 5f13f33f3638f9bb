"""Taylor attention of Based: softmax with its exponential cut after the square, 1 + s + s^2 / 2, exactly and in linear time.

A_ij = P(s_ij) / sum_j P(s_ij), P(s) = 1 + s + s^2 / 2, s_ij = q_i . k_j / sqrt(d), out = A V. P = ((1 + s)^2 + 1) / 2 is never below 1/2,
so that the sum is at least N / 2. Numerator and denominator are polynomial attention over V and over ones: by symmetric features, or in
tiles where seq_len is too short for these to pay.

[M] On two cores, 4 heads of 64, training at 4,096 tokens takes 0.6 to 0.7 of fused softmax's time. Causal, where that does half the work
and features nearly all of theirs, tiles serve up to about 5,000 tokens, at 1.1 of its time.

Arora et al. 2024, Simple linear attention language models balance the recall-throughput tradeoff, arXiv 2402.18668.
"""

from __future__ import annotations

import math

from torch import nn

from attnbench.attention import Heads, Matrix, PaddingMask, Variant, hide_padding
from attnbench.kernels.cache import Cache
from attnbench.kernels.definition import Seen, Weights, rows_of_matrix
from attnbench.kernels.linear import normalise_rows
from attnbench.kernels.polynomial import normalised_polynomial_attention
from attnbench.kernels.polynomial_step import PolynomialState, normalised_polynomial_step, polynomial_prefill

COEFFICIENTS = ((0, 1.0), (1, 1.0), (2, 0.5))


class Taylor(nn.Module):
    """A zeroed key has P = 1: what keeps it out of both sums is that its row of [V, 1] is zero."""

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        q, k, v = hide_padding(padding_mask, q, k, v)
        return normalised_polynomial_attention(q, k, v, COEFFICIENTS, causal, padding_mask)

    def init_state(self, batch_size: int) -> PolynomialState:
        return PolynomialState(Cache(batch_size))

    def prefill(self, q: Heads, k: Heads, v: Heads) -> PolynomialState:
        return polynomial_prefill(k, v, COEFFICIENTS)

    def step(self, q: Heads, k: Heads, v: Heads, state: PolynomialState) -> tuple[Heads, PolynomialState]:
        return normalised_polynomial_step(q, k, v, state, COEFFICIENTS)

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        q, k = hide_padding(padding_mask, q, k)
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        return normalise_rows(1.0 + scores + scores.square() / 2, causal, padding_mask)


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """((1 + s)^2 + 1) / 2, its rows normalised."""
    return seen.normalised(((1.0 + seen.scores()) ** 2 + 1.0) / 2)


VARIANT = Variant(
    build=lambda shape: Taylor(),
    citation="Arora et al. 2024, Simple linear attention language models balance the recall-throughput tradeoff, arXiv 2402.18668",
    family="linear",
    formula=r"P(Q K^{\top} / \sqrt{d}) V / \sum P,\quad P(s) = 1 + s + s^{2}/2",
    causal=True,
    normalises_rows=True,
    equivariant=True,
    time_exponent=1.0,
    memory_exponent=1.0,
    reference_rows=rows_of_matrix(rows_by_definition),
)
