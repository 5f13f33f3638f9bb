"""Softmax with a sink, e^s / (e^b + sum e^s): a logit beside those of the keys, without a value, so that a head may attend to nothing."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from attnbench.attention import Heads, PaddingMask, at_least_float32, hide_padding
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


def _scaled(q: Heads) -> Heads:
    return at_least_float32(q) / math.sqrt(q.shape[-1])


def _beside(logit: Logits, total: Tensor, sums: Tensor, shift: Tensor) -> Tensor:
    """total / (sums + e^(b - shift)), as softmax times the share of the keys: e^(b - shift) alone could overflow."""
    if isinstance(logit, Tensor):
        logit = logit.to(total.dtype)[:, None, None]
    seen = sums.masked_fill(sums == 0.0, 1.0)  # of a padded row without a key
    return total * ((shift + seen.log() - logit).sigmoid() / seen)
