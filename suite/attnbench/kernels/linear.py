"""Normalised kernel attention, linear in seq_len: out_i = sum_j w_ij v_j / sum_j w_ij with w_ij = phi(q_i) . phi(k_j) e^{s_j}.

Full: phi(Q) (phi(K)^T [V, 1]), whose last column is the denominator. Causal: the sequence is cut into chunks; inside a chunk the masked
product of queries and keys, between chunks the running state phi(K)^T [V, 1] of all chunks before (Hua et al. 2022, arXiv 2202.10447;
Sun et al. 2023, arXiv 2307.08621). No tensor is seq_len x features x head_dim: states are kept once a chunk.

s_j, optional, is a logarithmic factor of key j that e^s could not hold. The largest s that a row may see is taken off, which cancels in the
normalisation. When causal that is the largest s up to row i, never a later one: a large key that follows cannot make row i underflow.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from attnbench.attention import Matrix, PaddingMask, at_least_float32, hide_padding, hide_unseen

CHUNK = 128  # tokens; near head_dim and the number of features, so that the work inside and between chunks is about the same
BLOCK = 1024  # tokens: features of as many as the caches hold

Features = Float[Tensor, "batch heads seq_len features"]
Rows = Float[Tensor, "batch heads seq_len head_dim"]
Values = Float[Tensor, "batch heads seq_len value_dim"]
LogScale = Float[Tensor, "batch heads seq_len"]


def kernel_attention(
    phi_q: Features,
    phi_k: Features,
    v: Values,
    causal: bool = False,
    padding_mask: PaddingMask | None = None,
    log_scale: LogScale | None = None,
) -> Values:
    """The rows sum_j w_ij v_j / sum_j w_ij, in the dtype of v. Features come in float32 or wider, and may be negative.

    Padded keys have no weight, whatever finite features they have (phi(0) is not 0), and padded rows are zero. So is a row whose
    denominator is 0: it sees no weight. No denominator is clamped, for with negative features it may rightly be small or negative.
    """
    dtype, v = v.dtype, at_least_float32(v)
    (values,) = hide_padding(padding_mask, torch.cat([v, torch.ones_like(v[..., :1])], dim=-1))  # the ones sum the denominator
    log_scale = _hide_scale(log_scale, padding_mask)
    if causal and log_scale is not None:
        sums = _scaled_causal_sums(phi_q, phi_k, values, log_scale)
    elif causal:
        sums, _ = _causal_sums(phi_q, phi_k, values)
    else:
        if log_scale is not None:
            values = values * (log_scale - log_scale.detach().amax(-1, keepdim=True)).exp()[..., None]
        sums = phi_q @ (phi_k.mT @ values)
    return hide_padding(padding_mask, divide(sums[..., :-1], sums[..., -1:]).to(dtype))[0]


def mapped_attention(
    map_q: Callable[[Tensor], Features],
    map_k: Callable[[Tensor], Features],
    q: Rows,
    k: Rows,
    v: Values,
    causal: bool = False,
    padding_mask: PaddingMask | None = None,
) -> Values:
    """`kernel_attention` of the features map_q(q) and map_k(k), which are made and used a block of tokens at a time.

    They lie in the cache then, however long the sequence is: measured, 8 times the tokens take 8 times as long, and not 11 times.
    """
    summed = hide_padding(padding_mask, v, torch.ones_like(v[..., :1]))  # the ones sum the denominator
    # No slices: the gradient of each would be as long as the sequence.
    blocks = list(zip(*(x.split(BLOCK, -2) for x in (q, k, *summed)), strict=True))
    total, out = None, []
    if not causal:
        products = [map_k(keys).mT @ torch.cat([at_least_float32(x) for x in values], -1) for _, keys, *values in blocks]
        total = sum(products[1:], start=products[0])
    for queries, keys, *values in blocks:
        if causal:
            sums, total = _causal_sums(map_q(queries), map_k(keys), torch.cat([at_least_float32(x) for x in values], -1), total)
        else:
            assert total is not None
            sums = map_q(queries) @ total
        out.append(divide(sums[..., :-1], sums[..., -1:]).to(v.dtype))
    return hide_padding(padding_mask, torch.cat(out, dim=-2))[0]


def kernel_matrix(
    phi_q: Features,
    phi_k: Features,
    causal: bool = False,
    padding_mask: PaddingMask | None = None,
    log_scale: LogScale | None = None,
) -> Matrix:
    """The dense matrix of `kernel_attention`, quadratic in seq_len."""
    weights = phi_q @ phi_k.mT
    log_scale = _hide_scale(log_scale, padding_mask)
    if log_scale is not None:
        largest = log_scale.detach().cummax(-1).values if causal else log_scale.detach().amax(-1, keepdim=True)
        relative = log_scale[..., None, :] - largest[..., :, None]
        weights = weights * (relative.tril() if causal else relative).exp()
    return normalise_rows(weights, causal, padding_mask)


def normalise_rows(weights: Matrix, causal: bool, padding_mask: PaddingMask | None) -> Matrix:
    """w_ij / sum_j w_ij over the keys that row i sees; a row without weight is zero, and so is a padded row."""
    weights = hide_unseen(weights, causal, padding_mask)
    return divide(weights, weights.sum(-1, keepdim=True))


def divide(sums: Tensor, denominators: Tensor) -> Tensor:
    """sums / denominators, and zero with zero gradients where the denominator is 0.

    A denominator below tiny / eps (1e-31 in float32) counts as 0: it lacks terms that have underflowed, so that its last digits are wrong,
    and a little lower the gradient, of the order of 1 / denominator, would overflow.
    """
    limits = torch.finfo(denominators.dtype)
    empty = denominators.detach().abs() < limits.tiny / limits.eps
    return sums / denominators.masked_fill(empty, math.inf)


def _hide_scale(log_scale: Tensor | None, padding_mask: PaddingMask | None) -> Tensor | None:
    """The log scale with padded keys at the least finite value, so that none is the largest. Not -inf, for -inf - -inf is NaN."""
    if log_scale is None or padding_mask is None:
        return log_scale
    return log_scale.masked_fill(padding_mask[:, None, :], torch.finfo(log_scale.dtype).min)


def _causal_sums(phi_q: Tensor, phi_k: Tensor, values: Tensor, first: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """sum_{j <= i} w_ij values_j, and sum_j phi_k values_j^T; both include `first`, that sum of tokens before these."""
    seq_len = values.shape[-2]
    q, k, w = _in_chunks(seq_len, phi_q, phi_k, values)
    before, total = _sum_before(k.mT @ w, first=first)
    sums = (q @ k.mT).tril_() @ w + q @ before
    return sums.flatten(-3, -2)[..., :seq_len, :], total


def _scaled_causal_sums(phi_q: Tensor, phi_k: Tensor, values: Tensor, log_scale: Tensor) -> Tensor:
    """sum_{j <= i} w_ij values_j, row i up to a positive constant of its own."""
    seq_len = values.shape[-2]
    q, k, w = _in_chunks(seq_len, phi_q, phi_k, values)
    inside = (q @ k.mT).tril_()
    (scale,) = _in_chunks(seq_len, log_scale[..., None], fill=torch.finfo(log_scale.dtype).min)[0].unbind(-1)
    largest = scale.detach().flatten(-2).cummax(-1).values.view_as(scale)  # up to each row
    at_end = largest[..., -1:]  # up to the end of each chunk
    before_end = torch.cat([at_end[..., :1, :], at_end[..., :-1, :]], dim=-2)  # of the chunk before; the first has none
    # The states before a chunk are relative to `before_end`, and shrink when the chunk brings a larger key.
    states = k.mT @ (w * (scale - at_end).exp()[..., None])
    before, _ = _sum_before(states, (before_end - at_end).exp()[..., None])
    # Above the diagonal the difference is a later key's, and could overflow; `inside` is zero there already.
    inside = inside * (scale[..., None, :] - largest[..., :, None]).tril().exp()
    sums = inside @ w + (before_end - largest).clamp(max=0.0).exp()[..., None] * (q @ before)  # positive in the first chunk alone
    return sums.flatten(-3, -2)[..., :seq_len, :]


def _in_chunks(seq_len: int, *tensors: Tensor, fill: float = 0.0) -> list[Tensor]:
    """[..., seq_len, n] as [..., chunks, size, n], filled at the end."""
    chunks = max(1, math.ceil(seq_len / CHUNK))
    size = math.ceil(seq_len / chunks)
    missing = chunks * size - seq_len
    return [(F.pad(x, (0, 0, 0, missing), value=fill) if missing else x).unflatten(-2, (chunks, size)) for x in tensors]


def _sum_before(states: Tensor, shrink: Tensor | None = None, first: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The sum of the states of all earlier chunks, shrunk at every step, and that of all; from `first` on, or from zero.

    states: [..., chunks, features, value_dim]. One addition a chunk: on the CPU half the time of torch.cumsum, which strides over whole
    states.
    """
    each = states.unbind(-3)
    running = [torch.zeros_like(each[0]) if first is None else first]
    factors = itertools.repeat(None) if shrink is None else shrink.unbind(-3)
    for state, factor in zip(each, factors, strict=False):
        running.append(running[-1] + state if factor is None else torch.addcmul(state, running[-1], factor))
    return torch.stack(running[:-1], dim=-3), running[-1]
