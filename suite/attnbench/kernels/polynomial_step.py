"""Polynomial attention of one token: the latest tokens in a key-value cache, all before them in sums of symmetric features.

A step takes the time of reading its state. A cache of n tokens holds n (key_dim + value_dim) numbers; the sums over the features,
sum_j f_p(k_j) [v_j, 1]^T, hold D_p (value_dim + 1), D_p about C(key_dim + p - 1, p), for however many tokens. So tokens gather in the
cache until it is as large as the sums, and are then folded into them: a step never reads more than twice what the cheaper form alone
would. In float32 that is after 76, 297 and 1,170 tokens for p = 2 and head_dim 16, 32 and 64, and after 510, 3,960 and 31,200 for p = 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from attnbench.attention import at_least_float32
from attnbench.kernels.activation import Polynomial
from attnbench.kernels.cache import Cache
from attnbench.kernels.feature_states import Coefficients, degree_of, features_of
from attnbench.kernels.linear import divide
from attnbench.kernels.power_sums import meet_sums, sums_of

Rows = Float[Tensor, "batch heads seq_len head_dim"]
Row = Float[Tensor, "batch heads queries head_dim"]  # one query a head; of grouped queries those of its group


@dataclass(frozen=True)
class PolynomialState:
    """The first `folded` tokens in `sums`, [batch * heads, D_p, value_dim + 1] for each power, and those after them in `recent`."""

    recent: Cache
    folded: int = 0
    sums: tuple[Tensor, ...] = ()

    @property
    def length(self) -> int:
        """Tokens so far."""
        return self.folded + self.recent.length


def polynomial_prefill(k: Rows, v: Rows, coefficients: Coefficients) -> PolynomialState:
    """The state after a sequence."""
    seq_len = k.shape[2]
    # A full cache is folded here, whereas a step folds before it adds its token: so no state makes every step from it fold again.
    folded = seq_len - seq_len % fold_length(k.shape[3], v.shape[3], k.dtype, coefficients)
    sums = _fold((), k[:, :, :folded], v[:, :, :folded], coefficients) if folded else ()
    recent = Cache(k.shape[0])
    return PolynomialState(recent.append(k[:, :, folded:], v[:, :, folded:]) if folded < seq_len else recent, folded, sums)


def polynomial_step(
    q: Row, k: Rows, v: Rows, state: PolynomialState, coefficients: Coefficients
) -> tuple[Float[Tensor, "batch heads queries columns"], PolynomialState]:
    """sum_j P(q . k_j / sqrt(d)) [v_j, 1] over the tokens up to this one, in float32 or wider, and the state after it."""
    recent, sums = state.recent, state.sums
    if recent.length >= fold_length(k.shape[3], v.shape[3], k.dtype, coefficients):
        sums, recent = _fold(sums, recent.keys, recent.values, coefficients), Cache(recent.batch_size)
    recent = recent.append(k, v)
    q = at_least_float32(q) / math.sqrt(q.shape[3])
    weights = recent.scores(q)
    Polynomial(coefficients).value_(weights, torch.empty_like(weights))
    out = torch.cat([recent.weighted(weights), weights.sum(-1, keepdim=True)], dim=-1)
    if sums:
        out = out + meet_sums(q, sums, coefficients)
    return out, PolynomialState(recent, state.length + 1 - recent.length, sums)


def normalised_polynomial_step(
    q: Row, k: Rows, v: Rows, state: PolynomialState, coefficients: Coefficients, epsilon: float = 0.0
) -> tuple[Row, PolynomialState]:
    """The last row of `normalised_polynomial_attention`, in the dtype of v, and the state after it."""
    sums, state = polynomial_step(q, k, v, state, coefficients)
    return divide(sums[..., :-1], sums[..., -1:].clamp_min(0.0) + epsilon).to(v.dtype), state


@cache
def fold_length(key_dim: int, value_dim: int, dtype: torch.dtype, coefficients: Coefficients) -> int:
    """How many tokens the cache holds when it is as large as the sums, which are in float32 or wider: at least 1."""
    symmetric = features_of(key_dim, degree_of(coefficients))
    numbers = sum(symmetric.dimension(power) for power, _ in coefficients) * (value_dim + 1)
    widening = torch.promote_types(dtype, torch.float32).itemsize // dtype.itemsize
    return max(1, numbers * widening // (key_dim + value_dim))


def _fold(sums: tuple[Tensor, ...], k: Rows, v: Rows, coefficients: Coefficients) -> tuple[Tensor, ...]:
    """The sums with these tokens added."""
    k, v = at_least_float32(k), at_least_float32(v)
    added = sums_of(k, torch.cat([v, torch.ones_like(v[..., :1])], dim=-1), coefficients)
    return tuple(a + b for a, b in zip(added, sums, strict=True)) if sums else added
