"""ReLU attention: max(s, 0) / N in place of softmax.

A_ij = relu(q_i . k_j / sqrt(d)) / N, out = A V. N is the number of unpadded keys that the row may see. Worked in tiles.

Wortsman, Lee, Gilmer, Kornblith 2023, Replacing softmax with ReLU in Vision Transformers, arXiv 2309.08586.
"""

from __future__ import annotations

import math

from torch import nn

from attnbench.attention import Heads, Matrix, PaddingMask, Variant, at_least_float32, count_visible, hide_padding, hide_unseen
from attnbench.kernels.activation import Relu
from attnbench.kernels.cache import Cache, CachedAttention, elementwise_step
from attnbench.kernels.definition import Seen, Weights, rows_of_matrix
from attnbench.kernels.tiled import elementwise_attention


class ReluAttention(CachedAttention):
    """A zeroed key has score 0 and weight 0, so padding needs no mask of its own."""

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        q, k, v = hide_padding(padding_mask, q, k, v)
        wide = at_least_float32(q)  # 1 / N goes to the queries, before a sum over keys could leave the range of float16
        count = count_visible(q.shape[-2], causal, padding_mask, q.device).to(wide.dtype)
        return elementwise_attention(wide / (math.sqrt(q.shape[-1]) * count), k, v, Relu(), causal)

    def step(self, q: Heads, k: Heads, v: Heads, state: Cache) -> tuple[Heads, Cache]:
        state = state.append(k, v)
        return elementwise_step(at_least_float32(q) / (math.sqrt(q.shape[-1]) * state.length), state, Relu()), state

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        q, k = hide_padding(padding_mask, q, k)
        weights = hide_unseen((q @ k.mT / math.sqrt(q.shape[-1])).relu(), causal, padding_mask)
        return weights / count_visible(q.shape[-2], causal, padding_mask, q.device).to(q.dtype)


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """relu(s) / N."""
    scores = seen.scores()
    return seen.only_visible(scores.relu() / seen.count().to(scores.dtype))


VARIANT = Variant(
    build=lambda shape: ReluAttention(),
    citation="Wortsman, Lee, Gilmer, Kornblith 2023, Replacing softmax with ReLU in Vision Transformers, arXiv 2309.08586",
    family="other",
    formula=r"\operatorname{relu}(Q K^{\top} / \sqrt{d}) V / N",
    causal=True,
    normalises_rows=False,
    equivariant=True,
    time_exponent=2.0,
    memory_exponent=1.0,
    reference_rows=rows_of_matrix(rows_by_definition),
    implementation={"cpu": "tuned"},
)
