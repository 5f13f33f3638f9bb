"""Polynomial attention, r_i sum_j P(q_i . k_j / sqrt(d)) v_j, in the cheapest exact form: tiles, or symmetric features."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attnbench.attention import at_least_float32, count_visible, hide_padding, without_autocast
from attnbench.kernels.activation import Polynomial
from attnbench.kernels.feature_states import Coefficients, chunking, degree_of
from attnbench.kernels.linear import divide
from attnbench.kernels.normalised import OwnSums
from attnbench.kernels.power_sums import power_sums
from attnbench.kernels.tiled import elementwise_attention, normalised_sums
from attnbench.kernels.triton import polynomial

Rows = Float[Tensor, "batch heads seq_len head_dim"]

# The cost model, of two cores (`make forms`): nanoseconds of the forward pass, and of one small operation. Training takes 3 to 4 times as
# long in either form, so that one model serves both. Other devices have not been measured; it decides there too.
SCORE_NS, SCORE_COLUMN_NS = 0.12, 0.024  # a score of a tile, and each column of q, k and v
FEATURE_NS, FEATURE_COLUMN_NS = 0.6, 0.019  # a feature of a token, of both q and k
OPERATION_NS = 6000.0


def polynomial_attention(
    q: Rows,
    k: Rows,
    v: Float[Tensor, "batch heads seq_len value_dim"],
    coefficients: Coefficients,
    causal: bool,
    row_scale: Float[Tensor, "#batch #heads #seq_len 1"] | float = 1.0,
) -> Float[Tensor, "batch heads seq_len value_dim"]:
    """row_scale times the sum over keys of P(q . k / sqrt(d)) v, P(x) = sum_p c_p x^p, differentiable in q, k and v.

    No seq_len x seq_len matrix is held. Padded rows of q, k and v must be zero; a constant in P then reaches padded rows of the output.
    On CUDA a sum of powers goes through Triton's kernels, which give no gradient to row_scale. Otherwise half precision is worked in
    float32.
    """
    powers = _repeated_powers(coefficients)
    if powers and q.shape == v.shape and polynomial.runs_on(q):
        # There the score tiles go through tensor cores; whether features in float32 would ever be faster has not been measured.
        return polynomial.polynomial_attention(q, k, v, powers, row_scale, causal)
    dtype = v.dtype
    q, k, v = (at_least_float32(x) for x in (q, k, v))
    q = q / math.sqrt(q.shape[-1])
    if are_features_cheaper(q.shape, coefficients, causal):
        out = power_sums(q, k, v, coefficients, causal)
    else:
        out = elementwise_attention(q, k, v, Polynomial(coefficients), causal)
    return (out * row_scale).to(dtype)


def _repeated_powers(coefficients: Coefficients) -> tuple[int, ...]:
    """The powers, each as often as its factor says; none where a factor is no whole number or there is a constant."""
    if not all(power >= 1 and factor > 0 and factor.is_integer() for power, factor in coefficients):
        return ()
    return tuple(power for power, factor in coefficients for _ in range(int(factor)))


def are_features_cheaper(shape: Sequence[int], coefficients: Coefficients, causal: bool) -> bool:
    """Whether symmetric features beat tiles for q of this shape, by the cost model: the same answer for forward and training."""
    batch_size, num_heads, seq_len, head_dim = shape
    degree = degree_of(coefficients)
    # A bound before the table of features: there are at least d^p / p! of them.
    if head_dim**degree / math.factorial(degree) > seq_len:
        return False
    heads = batch_size * num_heads
    score_ns = SCORE_NS + SCORE_COLUMN_NS * head_dim
    tiles = heads * seq_len**2 * score_ns * (0.6 if causal else 1.0)  # 0.6 and not 0.5: tiles on the diagonal are whole
    plan = chunking(heads, head_dim, degree, causal, "cpu")
    chunks = math.ceil(seq_len / plan.tokens)
    features = heads * seq_len * plan.dimension * (FEATURE_NS + FEATURE_COLUMN_NS * head_dim)
    features += math.ceil(heads / plan.heads) * chunks * plan.operations * OPERATION_NS
    if causal:
        features += heads * seq_len * min(plan.tokens, seq_len) * score_ns
    return features < tiles


def normalised_polynomial_attention(
    q: Rows,
    k: Rows,
    v: Rows,
    coefficients: Coefficients,
    causal: bool,
    padding_mask: Bool[Tensor, "batch seq_len"] | None,
    epsilon: float = 0.0,
) -> Rows:
    """sum_j P(s_ij) v_j / (sum_j P(s_ij) + epsilon) over the keys that are not padded, s = q . k / sqrt(d), for a P that is never negative.

    A row whose sum is zero is zero, and so is a padded one. Padded rows of q and k must be zero. Half precision is worked in float32.
    By features the sum is exact to rounding relative to |q|^p sum |k|^p: a query that is nearly orthogonal to every key has fewer digits
    than in tiles.

    Causal and without epsilon, the first row has one key, of weight 1, and is its value. So the gradient by its score s is 0 exactly: for a
    square the quotient gives 2 (g . v - g . out) / s, the rounding of both products over an s near 0.
    """
    dtype = v.dtype
    q, k, v = (at_least_float32(x) for x in (q, k, v))
    sums, denominators = _sums_and_denominators(q / math.sqrt(q.shape[-1]), k, v, coefficients, causal, padding_mask)
    denominators = denominators.clamp_min(0.0) + epsilon
    out = divide(sums, denominators)
    if causal and not epsilon:
        only = denominators[..., :1, :].detach()
        out = torch.cat([divide(only, only) * v[..., :1, :], out[..., 1:, :]], dim=-2)  # without weight nothing
    return hide_padding(padding_mask, out.to(dtype))[0]


def _sums_and_denominators(
    q: Rows, k: Rows, v: Rows, coefficients: Coefficients, causal: bool, padding_mask: Bool[Tensor, "batch seq_len"] | None
) -> tuple[Rows, Float[Tensor, "batch heads seq_len 1"]]:
    """sum_j P(q_i . k_j) v_j and sum_j P(q_i . k_j), the latter apart where it can be had apart.

    Otherwise it is that over values of one, in a column beside the others: a product of 65 columns takes a sixth more time than of 64.
    """
    (values,) = hide_padding(padding_mask, v)
    by_features = are_features_cheaper(q.shape, coefficients, causal)
    if by_features and not causal and degree_of(coefficients) <= 2:
        with without_autocast(q.device):
            denominators = _sums_of_weights(q, k, coefficients, padding_mask)
        return power_sums(q, k, values, coefficients, causal), denominators
    if not by_features and min(power for power, _ in coefficients) >= 2:
        sums, denominators, _ = normalised_sums(q, k, values, OwnSums(Polynomial(coefficients)), causal)
        return sums, denominators
    (ones,) = hide_padding(padding_mask, torch.ones_like(v[..., :1]))
    values = torch.cat([values, ones], dim=-1)
    if by_features:
        both = power_sums(q, k, values, coefficients, causal)
    else:
        both = elementwise_attention(q, k, values, Polynomial(coefficients), causal)
    return both[..., :-1], both[..., -1:]


def _sums_of_weights(
    q: Rows, k: Rows, coefficients: Coefficients, padding_mask: Bool[Tensor, "batch seq_len"] | None
) -> Float[Tensor, "batch heads seq_len 1"]:
    """sum_j P(q_i . k_j) for a P of degree 2 at most: c_0 N + c_1 q . sum_j k_j + c_2 q^T (sum_j k_j k_j^T) q."""
    factors = dict(coefficients)
    count = count_visible(q.shape[-2], False, padding_mask, q.device).to(q.dtype)
    total = factors.get(0, 0.0) * count
    if 1 in factors:
        total = total + factors[1] * (q @ k.sum(-2, keepdim=True).mT)
    if 2 in factors:
        total = total + factors[2] * ((q @ (k.mT @ k)) * q).sum(-1, keepdim=True)
    return total
