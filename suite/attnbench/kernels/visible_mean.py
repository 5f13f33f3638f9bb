"""The mean of the values that each row may see: attention with equal weights, linear in seq_len."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from attnbench.attention import PaddingMask, count_visible, hide_padding

Values = Float[Tensor, "batch heads seq_len width"]


def visible_mean(v: Values, causal: bool, padding_mask: PaddingMask | None) -> Values:
    """The mean of the unpadded values, up to the row's own when causal, in the dtype of v; padded rows are zero.

    Half types are summed in float32. On the CPU torch's running sum of float32 is kept in float64, so that it loses nothing with length.
    """
    wide = torch.promote_types(v.dtype, torch.float32)
    (values,) = hide_padding(padding_mask, v)
    total = values.cumsum(-2, dtype=wide) if causal else values.sum(-2, keepdim=True, dtype=wide)
    mean = (total / count_visible(v.shape[-2], causal, padding_mask, v.device).to(wide)).to(v.dtype)
    return hide_padding(padding_mask, mean.expand_as(v))[0].contiguous()
