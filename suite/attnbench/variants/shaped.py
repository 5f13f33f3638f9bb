"""Shaped attention: softmax attention centred on the identity, a comparator for skipless blocks.

A = a I + b softmax(Q K^T / sqrt(d)) - g C, out = A V, where C is the softmax at zero logits: the mean over the keys that a row may see.
a = b = g = 1 at the start, learned per head, and W_Q starts at zero, so that A starts as the identity; W_V and W_O start as random
orthogonal matrices. C V takes linear time: one mean, or the running mean when causal.

Noci et al. 2023, The Shaped Transformer, arXiv 2306.17759; the learned gains and W_Q = 0 as in He and Hofmann 2024, arXiv 2311.01906.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attnbench.attention import Heads, Matrix, PaddingMask, Shape, Variant, at_least_float32, hide_padding, unit_values
from attnbench.kernels.cache import Cache
from attnbench.kernels.definition import Seen, Weights, per_head, rows_of_matrix
from attnbench.kernels.fused_softmax import fused_softmax, fused_softmax_step
from attnbench.kernels.visible_mean import visible_mean


@dataclass(frozen=True)
class State:
    """Keys and values so far, and the sum of the values, [batch, heads, 1, head_dim], in float32 or wider; 0 before the first."""

    cache: Cache
    total: Tensor | float


class Shaped(nn.Module):
    """identity_gain, attention_gain and centring_gain, a, b and g of the formula, have shape [num_heads]."""

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self.identity_gain, self.attention_gain, self.centring_gain = (nn.Parameter(torch.ones(num_heads)) for _ in range(3))

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        return self._attend(q, k, v, causal, padding_mask)

    def _attend(self, q: Heads, k: Heads, v: Tensor, causal: bool, padding_mask: PaddingMask | None) -> Tensor:
        (v,) = hide_padding(padding_mask, v)
        a, b, g = (gain[:, None, None] for gain in (self.identity_gain, self.attention_gain, self.centring_gain))
        mean = visible_mean(v, causal, padding_mask)
        return hide_padding(padding_mask, a * v + b * fused_softmax(q, k, v, causal, padding_mask) - g * mean)[0]

    def init_state(self, batch_size: int) -> State:
        return State(Cache(batch_size), 0.0)

    def prefill(self, q: Heads, k: Heads, v: Heads) -> State:
        return State(Cache(q.shape[0]).append(k, v), at_least_float32(v).sum(-2, keepdim=True))

    def step(self, q: Heads, k: Heads, v: Heads, state: State) -> tuple[Heads, State]:
        a, b, g = (gain[:, None, None] for gain in (self.identity_gain, self.attention_gain, self.centring_gain))
        cache, total = state.cache.append(k, v), state.total + at_least_float32(v)
        mean = (total / cache.length).to(v.dtype)
        return a * v + b * fused_softmax_step(q, cache) - g * mean, State(cache, total)

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        return self._attend(q, k, unit_values(q), causal, padding_mask)

    def init_projections(self, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor) -> None:
        """W_Q = 0, and W_V and W_O random orthogonal matrices, all heads together, in place; W_K stays as it is."""
        nn.init.zeros_(w_q)
        for weight in (w_v, w_o):
            nn.init.orthogonal_(weight)


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """a I + b softmax(s) - g softmax(0)."""
    a, b, g = (per_head(module, name, seen.q) for name in ("identity_gain", "attention_gain", "centring_gain"))
    scores = seen.scores()
    return a * seen.identity() + b * seen.softmax(scores) - g * seen.softmax(torch.zeros_like(scores))


def build(shape: Shape) -> nn.Module:
    return Shaped(shape.num_heads)


VARIANT = Variant(
    build=build,
    citation="Noci et al. 2023, The Shaped Transformer, arXiv 2306.17759",
    family="softmax",
    formula=r"(a I + b \operatorname{softmax}(Q K^{\top} / \sqrt{d}) - g C) V",
    causal=True,
    normalises_rows=False,
    equivariant=True,
    time_exponent=2.0,
    memory_exponent=1.0,
    reference_rows=rows_of_matrix(rows_by_definition),
    implementation={"cpu": "tuned", "cuda": "tuned"},
)
