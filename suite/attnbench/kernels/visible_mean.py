"""The mean of the values that each row may see: attention with equal weights, linear in seq_len."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from attnbench.attention import PaddingMask, at_least_float32, count_visible


def visible_mean(
    v: Float[Tensor, "batch heads seq_len width"], causal: bool, padding_mask: PaddingMask | None
) -> Float[Tensor, "batch heads rows width"]:
    """The mean of the unpadded values, one row for all or, when causal, for each row that of the values up to its own.

    v must be zero at padding; the mean is in its dtype. Half types are summed in float32, forward and backward. On the CPU torch's running
    sum of float32 is kept in float64, so that it loses nothing with length.
    """
    wide = torch.promote_types(v.dtype, torch.float32)
    total = at_least_float32(v).cumsum(-2) if causal else v.sum(-2, keepdim=True, dtype=wide)
    return (total / count_visible(v.shape[-2], causal, padding_mask, v.device).to(wide)).to(v.dtype)
