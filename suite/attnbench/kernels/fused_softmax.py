"""Softmax attention by torch's fused kernel, with padding, for softmax and the variants close to it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from attnbench.attention import Heads, KVHeads, PaddingMask, hide_padding, visible_keys
from attnbench.kernels.cache import Cache


def fused_softmax(
    q: Heads, k: KVHeads, v: Tensor, causal: bool = False, padding_mask: PaddingMask | None = None, scale: float | None = None
) -> Tensor:
    """softmax(scale Q K^T) V, scale 1/sqrt(d) where none is given; rows of padding are zero.

    k and v may have fewer heads than q. v: [batch, kv_heads, seq_len, width]. On the CPU the kernel is fused only where v is as wide as
    q and k; torch keeps the seq_len x seq_len matrix otherwise.
    """
    grouped = k.shape[1] != q.shape[1]
    if padding_mask is None:
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale, enable_gqa=grouped)
    q, k, v = hide_padding(padding_mask, q, k, v)
    visible = visible_keys(q.shape[-2], causal, padding_mask, q.device, never_empty=True)
    return hide_padding(padding_mask, F.scaled_dot_product_attention(q, k, v, attn_mask=visible, scale=scale, enable_gqa=grouped))[0]


def fused_softmax_step(q: Heads, cache: Cache, scale: float | None = None) -> Heads:
    """softmax(scale q K^T) V over the cached tokens, for the q of one token, [batch, heads, 1, head_dim]."""
    keys = cache.keys
    return F.scaled_dot_product_attention(q, keys, cache.values, scale=scale, enable_gqa=keys.shape[1] != q.shape[1])
