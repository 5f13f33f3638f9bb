"""Dense float64 forms of softmax and its relatives, and what a mechanism's output is held against them by."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from helpers.mechanisms import SEQ_LEN, attend, draw, make, masks

Dense = Callable[[Any, Tensor, Tensor, Tensor, Tensor], Tensor]  # module, q, k, v, visible -> out


def softmax_of(scores: Tensor, visible: Tensor) -> Tensor:
    """Over the visible keys alone; a row that sees nothing is zero."""
    return scores.masked_fill(~visible[:, None], -math.inf).softmax(-1).nan_to_num(0.0)


def scores_of(q: Tensor, k: Tensor) -> Tensor:
    return torch.einsum("bhid,bhjd->bhij", q, k) / math.sqrt(q.shape[-1])


def check_is_dense(name: str, dense: Dense, causal: bool, padded: bool, seq_len: int = SEQ_LEN) -> None:
    """Holds the output of a mechanism in float64 against a dense form; padding is on the right, on the left, in holes, all and none."""
    module = make(name, seq_len).double()
    mask = masks(("right", "left", "holes", "all", "none"), "cpu") if padded else None
    batch = 2 if mask is None else len(mask)
    inputs = {key: x.double() for key, x in draw(name, batch=batch, seq_len=seq_len).items()}
    visible = torch.ones(batch, seq_len, seq_len, dtype=torch.bool)
    if causal:
        visible = visible.tril()
    if mask is not None:
        visible = visible & ~mask[:, None, :] & ~mask[:, :, None]
    with torch.no_grad():
        expected = dense(module, inputs["q"], inputs["k"], inputs["v"], visible)
        if mask is not None:
            expected = expected.masked_fill(mask[:, None, :, None], 0.0)
        out = attend(module, inputs, causal, mask)
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-12)
