"""Exclusive self attention: softmax attention without what lies along the token's own value.

out_i = y_i - (y_i . v_i / max(||v_i||, 1e-12)^2) v_i, y = softmax(Q K^T / sqrt(d)) V. The output is orthogonal to the token's own value,
so that attention brings only what is new; a causal first token, which sees itself alone, receives zero, and a value of zero takes nothing
off. The output is not linear in V, so that there is no attention matrix.

Zhai 2026, Exclusive Self Attention, arXiv 2603.09078.
"""

from __future__ import annotations

from torch import Tensor, nn

from attnbench.attention import Heads, PaddingMask, Variant, at_least_float32, hide_padding
from attnbench.kernels.cache import Cache, CachedAttention
from attnbench.kernels.definition import Seen, rows_by
from attnbench.kernels.fused_softmax import fused_softmax, fused_softmax_step

SMALLEST_NORM = 1e-12  # below it a value has no direction


class ExclusiveAttention(CachedAttention):
    """No parameters. Fused scaled dot-product attention, and a projection of its output."""

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        (v,) = hide_padding(padding_mask, v)
        return _without_own(fused_softmax(q, k, v, causal, padding_mask), v)

    def step(self, q: Heads, k: Heads, v: Heads, state: Cache) -> tuple[Heads, Cache]:
        state = state.append(k, v)
        return _without_own(fused_softmax_step(q, state), v), state


def _without_own(y: Heads, v: Heads) -> Heads:
    """y without its part along v, token by token. Half types are projected in float32."""
    wide, own = at_least_float32(y), at_least_float32(v)
    # One quotient, and no unit vector: where y is v it is exactly one, and nothing is left.
    share = (wide * own).sum(-1, keepdim=True) / own.square().sum(-1, keepdim=True).clamp(min=SMALLEST_NORM**2)
    return (wide - share * own).to(y.dtype)


def rows_by_definition(module: nn.Module, seen: Seen) -> Tensor:
    """y - (y . v / v . v) v, y = softmax(s) V; nothing is taken off where v is zero."""
    y, own = seen.softmax(seen.scores()) @ seen.v, seen.v[..., seen.rows, :]
    squares = own.square().sum(-1, keepdim=True)
    return y - (y * own).sum(-1, keepdim=True) / squares.masked_fill(squares == 0.0, 1.0) * own


VARIANT = Variant(
    build=lambda shape: ExclusiveAttention(),
    citation="Zhai 2026, Exclusive Self Attention, arXiv 2603.09078",
    family="softmax",
    formula=r"Y_i - \frac{Y_i \cdot V_i}{\lVert V_i \rVert^{2}} V_i, Y = \operatorname{softmax}(Q K^{\top} / \sqrt{d}) V",
    causal=True,
    normalises_rows=False,
    equivariant=True,
    time_exponent=2.0,
    memory_exponent=1.0,
    reference_rows=rows_by(rows_by_definition),
    implementation={"cpu": "tuned"},
)
