"""Softmax attention by torch's fused kernel: what a user has today.

A = softmax(Q K^T / sqrt(d)), out = A V. Vaswani et al. 2017, arXiv 1706.03762; on CUDA the kernel is FlashAttention's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnbench.attention import Heads, Matrix, PaddingMask, Variant, hide_padding, visible_keys


class Softmax(nn.Module):
    """Fused scaled dot-product attention; no attention matrix is kept."""

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        return self._attend(q, k, v, causal, padding_mask)

    def _attend(self, q: Heads, k: Heads, v: Tensor, causal: bool, padding_mask: PaddingMask | None) -> Tensor:
        if padding_mask is None:
            return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        q, k, v = hide_padding(padding_mask, q, k, v)
        visible = visible_keys(q.shape[-2], causal, padding_mask, q.device, never_empty=True)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=visible)
        return hide_padding(padding_mask, out)[0]

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        identity = torch.eye(q.shape[-2], dtype=q.dtype, device=q.device).expand(*q.shape[:2], -1, -1)
        return self._attend(q, k, identity, causal, padding_mask)


VARIANT = Variant(
    build=lambda shape: Softmax(),
    citation="Vaswani et al. 2017, Attention Is All You Need, arXiv 1706.03762",
    family="softmax",
    formula="softmax(Q Kᵀ / √d) V",
    causal=True,
    normalises_rows=True,
    equivariant=True,
    time_exponent=2.0,
    memory_exponent=1.0,
)
