"""Stick-breaking attention: each token takes shares of what is left of a stick, from the nearest token before it on.

A_ij = sigma(s_ij) prod_{j < l < i} (1 - sigma(s_il)) for j < i, with s_ij = q_i . k_j / sqrt(d), out = A V. A token does not see itself,
so that the first row is zero; what is left of the stick after the first token is dropped. It needs no positions: of two equal scores the
nearer key gets more. It is worked in tiles, in logarithms, and all of them are: a kernel that looks at the data could leave out those of a
stick that is used up, as standard normal inputs do in some hundred tokens, and would be as fast as the inputs that it is timed with allow.

Tan, Yang, Wang, Shen, Courville, Panda 2024, Scaling Stick-Breaking Attention, arXiv 2410.17980.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from attnbench.attention import Heads, Matrix, PaddingMask, Variant, at_least_float32, hide_padding, require_causal, visible_keys
from attnbench.kernels.cache import Cache, CachedAttention
from attnbench.kernels.definition import Seen, Weights, rows_of_matrix
from attnbench.kernels.packing import pack, unpack
from attnbench.kernels.stick_breaking import stick_breaking_attention


class StickBreaking(CachedAttention):
    """Padded keys take nothing of the stick."""

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        require_causal(causal, "stick_breaking")
        q, k, v = pack(padding_mask, q, k, v)
        return unpack(padding_mask, stick_breaking_attention(at_least_float32(q) / math.sqrt(q.shape[-1]), k, v))

    def step(self, q: Heads, k: Heads, v: Heads, state: Cache) -> tuple[Heads, Cache]:
        """The token's own key and value are for the tokens after it."""
        if state.length == 0:
            return torch.zeros_like(v), state.append(k, v)
        scores = state.scores(at_least_float32(q) / math.sqrt(q.shape[-1]))
        weights = (logsigmoid(scores) + _later(logsigmoid(-scores))).exp()
        return state.weighted(weights).to(v.dtype), state.append(k, v)

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        """By products of what each key leaves of the stick."""
        require_causal(causal, "stick_breaking")
        q, k = hide_padding(padding_mask, q, k)
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        visible = visible_keys(q.shape[-2], True, padding_mask, q.device)
        assert visible is not None
        before = visible.tril(-1)
        left = (-scores).sigmoid().masked_fill(~before, 1.0)
        after_later = F.pad(left[..., 1:].flip(-1).cumprod(-1).flip(-1), (0, 1), value=1.0)
        return hide_padding(padding_mask, scores.sigmoid().masked_fill(~before, 0.0) * after_later)[0]


def _later(x: Tensor) -> Tensor:
    """The sum of all that come after each, along the last axis."""
    return F.pad(x[..., 1:].flip(-1).cumsum(-1).flip(-1), (0, 1))


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """exp(log sigma(s_ij) + sum_{j < l < i} log sigma(-s_il)) over the keys before the row."""
    scores = seen.scores()
    before = seen.visible & (torch.arange(scores.shape[-1], device=scores.device) < seen.rows[:, None])
    return (logsigmoid(scores) + _later(logsigmoid(-scores).masked_fill(~before, 0.0))).exp().masked_fill(~before, 0.0)


VARIANT = Variant(
    build=lambda shape: StickBreaking(),
    citation="Tan et al. 2024, Scaling Stick-Breaking Attention: An Efficient Implementation and In-depth Study, arXiv 2410.17980",
    family="other",
    formula=r"A_{ij} = \sigma(s_{ij}) \prod_{j < l < i} (1 - \sigma(s_{il})),\quad j < i",
    causal="only",
    normalises_rows=False,
    time_exponent=2.0,
    memory_exponent=1.0,
    reference_rows=rows_of_matrix(rows_by_definition),
)
