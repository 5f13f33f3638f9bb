"""Softmax with a sink, e^s / (e^b + sum e^s): one more logit in the denominator, so that a head may attend to nothing."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from attnbench.attention import Heads, Matrix, PaddingMask, at_least_float32, hide_padding, visible_keys
from attnbench.kernels.cache import Cache, normalised_step
from attnbench.kernels.normalised import Exponential
from attnbench.kernels.tiled import normalised_sums

Logits = Float[Tensor, "heads"] | float


def sink_attention(
    q: Heads, k: Heads, v: Float[Tensor, "batch heads seq_len value_dim"], logit: Logits, causal: bool, padding_mask: PaddingMask | None
) -> Float[Tensor, "batch heads seq_len value_dim"]:
    """The output with s = q . k / sqrt(d) and b the logit of each head, differentiable in all four, in the dtype of v."""
    q, k, v = hide_padding(padding_mask, q, k, v)
    out = _beside(logit, *normalised_sums(_scaled(q), k, v, Exponential(), causal, padding_mask))
    return hide_padding(padding_mask, out.to(v.dtype))[0]


def sink_step(q: Float[Tensor, "batch heads 1 head_dim"], cache: Cache, logit: Logits) -> Float[Tensor, "batch heads 1 value_dim"]:
    """The same of the last token, over the cached ones."""
    return _beside(logit, *normalised_step(_scaled(q), cache, Exponential())).to(cache.values.dtype)


def sink_matrix(q: Heads, k: Heads, logit: Logits, causal: bool, padding_mask: PaddingMask | None) -> Matrix:
    """The dense matrix, by the softmax over the logit and all scores."""
    q, k = hide_padding(padding_mask, q, k)
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    visible = visible_keys(q.shape[-2], causal, padding_mask, q.device)
    if visible is not None:
        scores = scores.masked_fill(~visible, -math.inf)
    sink = scores.new_zeros(scores.shape[1], 1, 1) + _per_head(logit, scores)
    weights = torch.cat([sink.expand(*scores.shape[:-1], 1), scores], dim=-1).softmax(-1)[..., 1:]
    return hide_padding(padding_mask, weights)[0]


def _scaled(q: Heads) -> Heads:
    return at_least_float32(q) / math.sqrt(q.shape[-1])


def _beside(logit: Logits, total: Tensor, sums: Tensor, shift: Tensor) -> Tensor:
    """total / (sums + e^(b - shift)), as softmax times the share of the keys: e^(b - shift) alone could overflow."""
    seen = sums.masked_fill(sums == 0.0, 1.0)  # of a padded row without a key
    return total * ((shift + seen.log() - _per_head(logit, total)).sigmoid() / seen)


def _per_head(logit: Logits, like: Tensor) -> Tensor | float:
    return logit.to(like.dtype)[:, None, None] if isinstance(logit, Tensor) else logit
