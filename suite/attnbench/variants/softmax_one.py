"""Softmax with one added to its denominator, so that a head may attend to nothing.

A_ij = exp(s_ij) / (1 + sum_l exp(s_il)), s = Q K^T / sqrt(d), out = A V. Rows sum to less than one. On the CPU it is worked in tiles, as
sink, whose logit is 0 here. The one is exp(0): the softmax over one more key, zero, whose value is zero too; so elsewhere, and in
decoding, torch's fused kernel serves.

Miller 2023, Attention Is Off By One, https://www.evanmiller.org/attention-is-off-by-one.html
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import nn

from attnbench.attention import Heads, Matrix, PaddingMask, Variant, hide_padding, visible_keys
from attnbench.kernels.cache import Cache
from attnbench.kernels.definition import Seen, Weights, rows_of_matrix
from attnbench.kernels.fused_softmax import fused_softmax_step
from attnbench.kernels.sink import sink_attention, sink_matrix

FRONT_ROW = (0, 0, 1, 0)  # for F.pad: one zero row before the first token


class SoftmaxOne(nn.Module):
    """No attention matrix is kept."""

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        if q.device.type == "cpu":
            return sink_attention(q, k, v, 0.0, causal, padding_mask)
        return over_zero_key(q, k, v, causal, padding_mask)

    def init_state(self, batch_size: int) -> Cache:
        return Cache(batch_size)

    def prefill(self, q: Heads, k: Heads, v: Heads) -> Cache:
        return _append(Cache(q.shape[0]), k, v)

    def step(self, q: Heads, k: Heads, v: Heads, state: Cache) -> tuple[Heads, Cache]:
        state = _append(state, k, v)
        return fused_softmax_step(q, state), state

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        return sink_matrix(q, k, 0.0, causal, padding_mask)


def _append(state: Cache, k: Heads, v: Heads) -> Cache:
    """The zero key and its value come before the first token."""
    return state.append(k, v) if state.length else state.append(F.pad(k, FRONT_ROW), F.pad(v, FRONT_ROW))


def over_zero_key(q: Heads, k: Heads, v: Heads, causal: bool, padding_mask: PaddingMask | None) -> Heads:
    """Fused scaled dot-product attention over the keys and a zero key before them."""
    q, k, v = hide_padding(padding_mask, q, k, v)
    k, v = F.pad(k, FRONT_ROW), F.pad(v, FRONT_ROW)
    if padding_mask is None:
        if not causal:
            return F.scaled_dot_product_attention(q, k, v)
        # A dummy query before the first keeps the mask a square triangle, for which the kernel needs no mask tensor.
        return F.scaled_dot_product_attention(F.pad(q, FRONT_ROW), k, v, is_causal=True)[..., 1:, :]
    visible = visible_keys(q.shape[-2], causal, padding_mask, q.device)
    assert visible is not None
    # Every row sees the zero key, so that none is empty.
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=F.pad(visible, (1, 0), value=True))
    return hide_padding(padding_mask, out)[0]


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """e^s / (1 + sum e^s); what is taken off the exponents, and is at least the one's own, 0, cancels."""
    scores = seen.scores().masked_fill(~seen.visible, -math.inf)
    largest = scores.detach().amax(-1, keepdim=True).clamp(min=0.0)
    weights = (scores - largest).exp()
    return weights / ((-largest).exp() + weights.sum(-1, keepdim=True))


VARIANT = Variant(
    build=lambda shape: SoftmaxOne(),
    citation="Miller 2023, Attention Is Off By One, evanmiller.org/attention-is-off-by-one.html",
    family="softmax",
    formula=r"\operatorname{exp}(Q K^{\top} / \sqrt{d}) / (1 + \sum \operatorname{exp}(Q K^{\top} / \sqrt{d})) V",
    causal=True,
    normalises_rows=False,
    equivariant=True,
    time_exponent=2.0,
    memory_exponent=1.0,
    reference_rows=rows_of_matrix(rows_by_definition),
    implementation={"cpu": "tuned", "cuda": "tuned"},
)
