"""The mechanisms of threshold.py by definition: from what gives the weights of a row by sorting its scores, as the papers do."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from attnbench.attention import Heads, Matrix, PaddingMask, ReferenceRows, at_least_float32, hide_padding, visible_keys
from attnbench.kernels.definition import Weights, rows_of_matrix

# Gives the weights from scores in float32 or wider whose largest in each row is 0, and -inf for keys that a row does not see.
BySorting = Callable[[Weights], Weights]


def matrix_by_sorting(by_sorting: BySorting, q: Heads, k: Heads, causal: bool, padding_mask: PaddingMask | None) -> Matrix:
    """The dense matrix, in the dtype of q."""
    q, k = hide_padding(padding_mask, q, k)
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    visible = visible_keys(q.shape[-2], causal, padding_mask, q.device, never_empty=True)
    return hide_padding(padding_mask, _weights(by_sorting, scores, visible))[0]


def rows_by_sorting(by_sorting: BySorting) -> ReferenceRows:
    """A Variant's `reference_rows`. A padded row that sees no key takes all, for NaN would reach other gradients."""
    return rows_of_matrix(lambda module, seen: _weights(by_sorting, seen.scores(), seen.visible | ~seen.visible.any(-1, keepdim=True)))


def _weights(by_sorting: BySorting, scores: Weights, visible: Tensor | None) -> Weights:
    wide = at_least_float32(scores)
    if visible is not None:
        wide = wide.masked_fill(~visible, -math.inf)
    return by_sorting(wide - wide.detach().amax(-1, keepdim=True)).to(scores.dtype)
