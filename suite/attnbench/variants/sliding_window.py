"""Sliding-window attention: softmax over the tokens within a window of positions, in time linear in seq_len.

out_i = sum_j A_ij v_j with A the softmax of q_i . k_j / sqrt(d) over the keys with |i - j| < w and, when causal, over those with
i - w < j <= i. Positions count unpadded tokens. It is worked in blocks of rows, each by torch's fused kernel.

Child et al. 2019, arXiv 1904.10509; Beltagy, Peters, Cohan 2020, Longformer, arXiv 2004.05150; the causal form is that of Mistral 7B,
Jiang et al. 2023, arXiv 2310.06825.
"""

from __future__ import annotations

import math

from torch import nn

from attnbench.attention import (
    BadInput,
    Heads,
    KVHeads,
    Matrix,
    PaddingMask,
    Shape,
    Variant,
    hide_padding,
    repeat_heads,
    token_ranks,
    visible_keys,
)
from attnbench.kernels.cache import Cache
from attnbench.kernels.definition import Seen, Weights, rows_of_matrix
from attnbench.kernels.windowed import WindowCache, windowed_softmax


class SlidingWindow(nn.Module):
    """window: how many tokens a causal row sees, itself among them, at most; the other form sees window - 1 on either side."""

    def __init__(self, window: object) -> None:
        super().__init__()
        if type(window) is not int or window < 1:
            raise BadInput(f"window is {window!r}; give a whole number of at least 1")
        self.window = window

    def forward(self, q: Heads, k: KVHeads, v: KVHeads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        return windowed_softmax(q, k, v, self.window, causal, padding_mask)

    def init_state(self, batch_size: int) -> WindowCache:
        return WindowCache(self.window, Cache(batch_size))

    def prefill(self, q: Heads, k: KVHeads, v: KVHeads) -> WindowCache:
        return self.init_state(q.shape[0]).append(k, v)

    def step(self, q: Heads, k: KVHeads, v: KVHeads, state: WindowCache) -> tuple[Heads, WindowCache]:
        state = state.append(k, v)
        return state.attend(q), state

    def matrix(self, q: Heads, k: KVHeads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        """By the definition, a softmax over all keys with those outside the window hidden."""
        q, k = hide_padding(padding_mask, q, *repeat_heads(q.shape[1], k))
        seq_len = q.shape[2]
        ranks = token_ranks(seq_len, padding_mask, q.device)
        within = ((ranks[:, :, None] - ranks[:, None, :]).abs() < self.window)[:, None]
        visible = visible_keys(seq_len, causal, padding_mask, q.device, never_empty=True)
        within = within if visible is None else within & visible
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        return hide_padding(padding_mask, scores.masked_fill(~within, -math.inf).softmax(-1))[0]


def weights_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """softmax(s) over the keys that are visible and fewer than `window` unpadded tokens away."""
    assert isinstance(module, SlidingWindow)
    counts = (~seen.padding).cumsum(-1).clamp(min=1)[:, None, :]  # of tokens so far, [#batch, 1, seq_len]; a padded row sees some
    far = (counts[..., seen.rows, None] - counts[..., None, :]).abs() >= module.window
    return seen.softmax(seen.scores().masked_fill(far, -math.inf))


def build(shape: Shape, window: object) -> nn.Module:
    return SlidingWindow(window)


VARIANT = Variant(
    build=build,
    citation="Beltagy, Peters, Cohan 2020, Longformer: The Long-Document Transformer, arXiv 2004.05150",
    family="softmax",
    formula=r"\operatorname{softmax}(Q K^{\top} / \sqrt{d} + M) V,\quad M_{ij} = 0 \text{ where } |i - j| < w, \text{ else } -\infty",
    causal=True,
    normalises_rows=True,
    equivariant=False,
    grouped=True,
    time_exponent=1.0,
    memory_exponent=1.0,
    params={"window": 512},
    reference_rows=rows_of_matrix(weights_by_definition),
    implementation={"cpu": "tuned"},
)
