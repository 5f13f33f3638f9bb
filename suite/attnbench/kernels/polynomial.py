"""Polynomial attention, r_i sum_j P(q_i . k_j / sqrt(d)) v_j, in the cheapest exact form: tiles, or symmetric features."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attnbench.kernels.activation import Polynomial
from attnbench.kernels.power_sums import Coefficients, features_of, power_sums
from attnbench.kernels.tiled import elementwise_attention

Rows = Float[Tensor, "batch heads seq_len head_dim"]

# Making one feature and moving it costs as much as a product with this many more columns. Measured on two cores: for training the two
# forms take the same time at seq_len 512 (d = 16, degree 2), 1,200 (32, 2), 3,500 (64, 2), 3,500 (16, 3) and 1,000 (8, 3).
FEATURE_COLUMNS = 45
# Causal tiles are skipped by half, while the chunks of the linear form add their own pairs.
CAUSAL_FACTOR = 2.0
SHORTEST_LINEAR = 256


def polynomial_attention(
    q: Rows,
    k: Rows,
    v: Float[Tensor, "batch heads seq_len value_dim"],
    coefficients: Coefficients,
    causal: bool,
    row_scale: Float[Tensor, "#batch #heads #seq_len 1"] | float = 1.0,
) -> Float[Tensor, "batch heads seq_len value_dim"]:
    """row_scale times the sum over keys of P(q . k / sqrt(d)) v, P(x) = sum_p c_p x^p, differentiable in q, k, v and row_scale.

    No seq_len x seq_len matrix is held. Padded rows of q, k and v must be zero; a constant in P then reaches padded rows of the output.
    Half precision is worked in float32.
    """
    dtype = v.dtype
    if dtype in (torch.bfloat16, torch.float16):
        q, k, v = q.float(), k.float(), v.float()
    q = q / math.sqrt(q.shape[-1])
    if is_linear_cheaper(q.shape[-2], q.shape[-1], coefficients, causal):
        out = power_sums(q, k, v, coefficients, causal)
    else:
        out = elementwise_attention(q, k, v, Polynomial(coefficients), causal)
    return (out * row_scale).to(dtype)


def is_linear_cheaper(seq_len: int, head_dim: int, coefficients: Coefficients, causal: bool) -> bool:
    """Whether symmetric features, N D (d + 45) a head, beat tiles, N^2 d: the same answer for forward and training."""
    degree = max(power for power, _ in coefficients)
    if seq_len < SHORTEST_LINEAR:
        return False
    # A bound before the table of features: there are at least d^p / p! of them.
    if head_dim**degree / math.factorial(degree) > seq_len:
        return False
    symmetric = features_of(head_dim, max(1, degree))
    dimension = sum(symmetric.dimension(power) for power in range(1, degree + 1))
    cost = dimension * (1 + FEATURE_COLUMNS / head_dim) * (CAUSAL_FACTOR if causal else 1.0)
    return seq_len > cost


def normalised_polynomial_attention(
    q: Rows, k: Rows, v: Rows, coefficients: Coefficients, causal: bool, padding_mask: Bool[Tensor, "batch seq_len"] | None
) -> Rows:
    """sum_j P(s_ij) v_j / sum_j P(s_ij) over the keys that are not padded, s = q . k / sqrt(d), for a P that is never negative.

    A row whose sum is zero is zero. Padded rows of q, k and v must be zero. Half precision is worked in float32.
    """
    dtype = v.dtype
    if dtype in (torch.bfloat16, torch.float16):
        q, k, v = q.float(), k.float(), v.float()
    ones = torch.ones_like(v[..., :1])
    if padding_mask is not None:
        ones = ones.masked_fill(padding_mask[:, None, :, None], 0.0)
    sums = polynomial_attention(q, k, torch.cat([v, ones], dim=-1), coefficients, causal)
    total = sums[..., -1:]
    return (sums[..., :-1] / torch.where(total > 0.0, total, torch.ones_like(total))).to(dtype)
