"""ReBased: linear attention by the square of the scores, of queries and keys that are normalised, scaled and shifted by learned vectors.

A_ij = s_ij^2 / (sum_j s_ij^2 + 1e-6), s_ij = q'_i . k'_j / sqrt(d), q' = gamma_q LN(q) + beta_q, k' = gamma_k LN(k) + beta_k, out = A V;
LN is the layer norm of a head's d coordinates, with 1e-5 beside the variance. gamma = 1 and beta = 0 at the start. The square is that of
Based (`taylor`) with its parabola's vertex at zero, so that a weight can vanish. By symmetric features in time N d^3, or in tiles where
seq_len is too short for these to pay: the paper's head_dim is 16.

flash-linear-attention's plain form divides the scores by sqrt(d) and adds 1e-6 to the sum, which therefore counts (its layer adds 1e-5).
There gamma and beta are one vector each for queries and keys and all heads; here, as in the paper, queries and keys have their own, and
each head too.

Aksenov et al. 2024, Linear Transformers with Learnable Kernel Functions are Better In-Context Models, arXiv 2402.10644.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnbench.attention import Heads, Matrix, PaddingMask, Shape, Variant, at_least_float32, hide_padding, hide_unseen
from attnbench.kernels.cache import Cache
from attnbench.kernels.definition import Seen, Weights, rows_of_matrix
from attnbench.kernels.polynomial import normalised_polynomial_attention
from attnbench.kernels.polynomial_step import PolynomialState, normalised_polynomial_step, polynomial_prefill

SQUARE = ((2, 1.0),)
EPSILON = 1e-6  # beside the sum of a row
NORM_EPSILON = 1e-5  # beside the variance of a token


class ScaledNorm(nn.Module):
    """gamma LN(x) + beta, gamma and beta [num_heads, head_dim], in float32 or wider."""

    def __init__(self, num_heads: int, head_dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(num_heads, head_dim))
        self.beta = nn.Parameter(torch.zeros(num_heads, head_dim))

    def forward(self, x: Heads) -> Heads:
        x = at_least_float32(x)
        normed = F.layer_norm(x, x.shape[-1:], eps=NORM_EPSILON)
        return normed * self.gamma.to(x.dtype)[:, None] + self.beta.to(x.dtype)[:, None]


class Rebased(nn.Module):
    """query_norm and key_norm hold gamma and beta. What they make of a padded token, beta, is hidden again."""

    def __init__(self, num_heads: int, head_dim: int) -> None:
        super().__init__()
        self.query_norm, self.key_norm = ScaledNorm(num_heads, head_dim), ScaledNorm(num_heads, head_dim)

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        q, k = self._normed(q, k, padding_mask)
        return normalised_polynomial_attention(q, k, v, SQUARE, causal, padding_mask, EPSILON)

    def init_state(self, batch_size: int) -> PolynomialState:
        return PolynomialState(Cache(batch_size))

    def prefill(self, q: Heads, k: Heads, v: Heads) -> PolynomialState:
        return polynomial_prefill(self.key_norm(k), v, SQUARE)

    def step(self, q: Heads, k: Heads, v: Heads, state: PolynomialState) -> tuple[Heads, PolynomialState]:
        return normalised_polynomial_step(self.query_norm(q), self.key_norm(k), v, state, SQUARE, EPSILON)

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        dtype = q.dtype
        q, k = self._normed(q, k, padding_mask)
        weights = hide_unseen((q @ k.mT / math.sqrt(q.shape[-1])).square(), causal, padding_mask)
        return (weights / (weights.sum(-1, keepdim=True) + EPSILON)).to(dtype)

    def _normed(self, q: Heads, k: Heads, padding_mask: PaddingMask | None) -> tuple[Tensor, ...]:
        q, k = hide_padding(padding_mask, q, k)
        return hide_padding(padding_mask, self.query_norm(q), self.key_norm(k))


def _squares(module: nn.Module, q: Tensor, k: Tensor) -> Tensor:
    """s^2, the norm written out."""
    normed = []
    for x, name in ((q, "query_norm"), (k, "key_norm")):
        gamma, beta = (module.get_parameter(f"{name}.{of}").to(x.dtype) for of in ("gamma", "beta"))
        centred = x - x.mean(-1, keepdim=True)
        deviation = (centred.square().mean(-1, keepdim=True) + NORM_EPSILON).sqrt()
        normed.append(torch.einsum("bhnd,hd->bhnd", centred / deviation, gamma) + beta[:, None])
    return (normed[0] @ normed[1].mT) ** 2 / q.shape[-1]


def definition(module: nn.Module, q: Heads, k: Heads, causal: bool, padding_mask: PaddingMask | None) -> Matrix:
    """s^2 over their sum and 1e-6: for checking."""
    weights = hide_unseen(_squares(module, *hide_padding(padding_mask, q, k)), causal, padding_mask)
    return weights / (weights.sum(-1, keepdim=True) + EPSILON)


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """The same, of some rows."""
    weights = seen.only_visible(_squares(module, seen.q, seen.k))
    return weights / (weights.sum(-1, keepdim=True) + EPSILON)


def build(shape: Shape) -> nn.Module:
    return Rebased(shape.num_heads, shape.head_dim)


VARIANT = Variant(
    build=build,
    citation="Aksenov et al. 2024, Linear Transformers with Learnable Kernel Functions are Better In-Context Models, arXiv 2402.10644",
    family="linear",
    formula=(
        r"(Q' K'^{\top})^{2} V / (\sum (Q' K'^{\top})^{2} + \epsilon),\quad "
        r"X' = \gamma_{X} \operatorname{LN}(X) + \beta_{X}"
    ),
    causal=True,
    normalises_rows=False,  # they sum to a little less than one
    equivariant=True,
    time_exponent=1.0,
    memory_exponent=1.0,
    reference=definition,
    reference_rows=rows_of_matrix(rows_by_definition),
)
