"""Value-SkipInit: the identity plus a learned share of softmax attention, a comparator for skipless blocks.

A = a I + b softmax(Q K^T / sqrt(d)), out = A V; a = 1 and b = 0 at the start, learned per head, so that every token first passes
through unmixed. W_Q starts at zero, W_V and W_O as random orthogonal matrices.

He et al. 2023, Deep Transformers without Shortcuts, arXiv 2302.10322.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnbench.attention import Heads, Matrix, PaddingMask, Shape, Variant, hide_padding, unit_values
from attnbench.kernels.cache import Cache, CachedAttention
from attnbench.kernels.definition import Seen, Weights, per_head, rows_of_matrix
from attnbench.kernels.fused_softmax import fused_softmax, fused_softmax_step


class ValueSkipInit(CachedAttention):
    """identity_gain and attention_gain, a and b of the formula, have shape [num_heads]."""

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self.identity_gain = nn.Parameter(torch.ones(num_heads))
        self.attention_gain = nn.Parameter(torch.zeros(num_heads))

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        return self._attend(q, k, v, causal, padding_mask)

    def _attend(self, q: Heads, k: Heads, v: Tensor, causal: bool, padding_mask: PaddingMask | None) -> Tensor:
        (v,) = hide_padding(padding_mask, v)
        a, b = (gain[:, None, None] for gain in (self.identity_gain, self.attention_gain))
        return a * v + b * fused_softmax(q, k, v, causal, padding_mask)

    def step(self, q: Heads, k: Heads, v: Heads, state: Cache) -> tuple[Heads, Cache]:
        state = state.append(k, v)
        a, b = (gain[:, None, None] for gain in (self.identity_gain, self.attention_gain))
        return a * v + b * fused_softmax_step(q, state), state

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        return self._attend(q, k, unit_values(q), causal, padding_mask)

    def init_projections(self, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor) -> None:
        """W_Q = 0, and W_V and W_O random orthogonal matrices, all heads together, in place; W_K stays as it is."""
        nn.init.zeros_(w_q)
        for weight in (w_v, w_o):
            nn.init.orthogonal_(weight)


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """a I + b softmax(s)."""
    a, b = (per_head(module, name, seen.q) for name in ("identity_gain", "attention_gain"))
    return a * seen.identity() + b * seen.softmax(seen.scores())


def build(shape: Shape) -> nn.Module:
    return ValueSkipInit(shape.num_heads)


VARIANT = Variant(
    build=build,
    citation="He et al. 2023, Deep Transformers without Shortcuts, arXiv 2302.10322",
    family="softmax",
    formula=r"(a I + b \operatorname{softmax}(Q K^{\top} / \sqrt{d})) V",
    causal=True,
    normalises_rows=False,
    equivariant=True,
    time_exponent=2.0,
    memory_exponent=1.0,
    reference_rows=rows_of_matrix(rows_by_definition),
    implementation={"cpu": "tuned", "cuda": "tuned"},
)
