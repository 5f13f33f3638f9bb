"""Sigmoid attention: each score through a sigmoid whose bias is -log N, with no sum over the row.

A_ij = 1 / (1 + exp(-(q_i . k_j / sqrt(d) - log N))), out = A V. N is the number of unpadded keys that the row may see. Worked in tiles.

Ramapuram et al. 2024, Theory, Analysis, and Best Practices for Sigmoid Self-Attention, arXiv 2409.04431.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from attnbench.attention import Heads, Matrix, PaddingMask, Variant, at_least_float32, count_visible, hide_padding, hide_unseen
from attnbench.kernels.activation import Sigmoid
from attnbench.kernels.cache import Cache, CachedAttention, elementwise_step
from attnbench.kernels.definition import Seen, Weights, rows_of_matrix
from attnbench.kernels.tiled import elementwise_attention


class SigmoidAttention(CachedAttention):
    """A zeroed key has a weight, but its value is zero; only the padded rows of the output need hiding."""

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        q, k, v = hide_padding(padding_mask, q, k, v)
        bias = _bias(q, causal, padding_mask)
        out = elementwise_attention(at_least_float32(q) / math.sqrt(q.shape[-1]), k, v, Sigmoid(), causal, bias)
        return hide_padding(padding_mask, out)[0]

    def step(self, q: Heads, k: Heads, v: Heads, state: Cache) -> tuple[Heads, Cache]:
        state = state.append(k, v)
        scaled = at_least_float32(q) / math.sqrt(q.shape[-1])
        return elementwise_step(scaled, state, Sigmoid(), bias=-math.log(state.length)), state

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        q, k = hide_padding(padding_mask, q, k)
        scores = q @ k.mT / math.sqrt(q.shape[-1]) + _bias(q, causal, padding_mask).to(q.dtype)
        return hide_unseen(scores.sigmoid(), causal, padding_mask)


def _bias(q: Heads, causal: bool, padding_mask: PaddingMask | None) -> Tensor:
    return -count_visible(q.shape[-2], causal, padding_mask, q.device).log()


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """sigma(s - log N)."""
    scores = seen.scores()
    return seen.only_visible((scores - seen.count().log().to(scores.dtype)).sigmoid())


VARIANT = Variant(
    build=lambda shape: SigmoidAttention(),
    citation="Ramapuram et al. 2024, Theory, Analysis, and Best Practices for Sigmoid Self-Attention, arXiv 2409.04431",
    family="other",
    formula=r"\sigma(Q K^{\top} / \sqrt{d} - \operatorname{log} N) V",
    causal=True,
    normalises_rows=False,
    equivariant=True,
    time_exponent=2.0,
    memory_exponent=1.0,
    reference_rows=rows_of_matrix(rows_by_definition),
    implementation={"cpu": "tuned"},
)
