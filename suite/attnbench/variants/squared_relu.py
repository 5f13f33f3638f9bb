"""Squared ReLU attention of FLASH and its gated attention unit: relu(q . k / N)^2 in place of softmax.

A_ij = relu(q_i . k_j / N)^2 with no sqrt(d), out = A V. N is the number of unpadded keys that the row may see. Worked in tiles.

Hua, Dai, Liu, Le 2022, Transformer Quality in Linear Time, arXiv 2202.10447.
"""

from __future__ import annotations

from torch import nn

from attnbench.attention import Heads, Matrix, PaddingMask, Variant, at_least_float32, count_visible, hide_padding, hide_unseen
from attnbench.kernels.activation import SquaredRelu
from attnbench.kernels.cache import Cache, CachedAttention, elementwise_step
from attnbench.kernels.definition import Seen, Weights, rows_of_matrix
from attnbench.kernels.tiled import elementwise_attention


class SquaredReluAttention(CachedAttention):
    """relu is homogeneous: the 1 / N is taken of the queries, where it keeps the square of a large score finite."""

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        q, k, v = hide_padding(padding_mask, q, k, v)
        return elementwise_attention(_over_count(at_least_float32(q), causal, padding_mask), k, v, SquaredRelu(), causal)

    def step(self, q: Heads, k: Heads, v: Heads, state: Cache) -> tuple[Heads, Cache]:
        state = state.append(k, v)
        return elementwise_step(at_least_float32(q) / state.length, state, SquaredRelu()), state

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        q, k = hide_padding(padding_mask, q, k)
        return hide_unseen((_over_count(q, causal, padding_mask) @ k.mT).relu().square(), causal, padding_mask)


def _over_count(q: Heads, causal: bool, padding_mask: PaddingMask | None) -> Heads:
    return q / count_visible(q.shape[-2], causal, padding_mask, q.device).to(q.dtype)


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """relu(q . k / N)^2."""
    return seen.only_visible((seen.q @ seen.k.mT / seen.count().to(seen.q.dtype)).relu() ** 2)


VARIANT = Variant(
    build=lambda shape: SquaredReluAttention(),
    citation="Hua, Dai, Liu, Le 2022, Transformer Quality in Linear Time, arXiv 2202.10447",
    family="other",
    formula=r"\operatorname{relu}(Q K^{\top} / N)^{2} V",
    causal=True,
    normalises_rows=False,
    equivariant=True,
    time_exponent=2.0,
    memory_exponent=1.0,
    reference_rows=rows_of_matrix(rows_by_definition),
    implementation={"cpu": "tuned"},
)
