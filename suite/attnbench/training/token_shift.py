"""Token shift, an option of the model for any mechanism: what a layer projects is each token, mixed with the one before it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

Tokens = Float[Tensor, "batch seq_len d_model"]
START = 0.5  # of every mix: the mean of a token and the one before it


class TokenShift(nn.Module):
    """Mixes each token with the one before it, channel by channel, in three ways: for queries, for keys and for values.

        x_i + mix (x_{i-1} - x_i),  mix: [3, d_model], learned, 1/2 at the start

    Some published layers have it, or a short convolution, before their attention; as an option of the model it is nobody's own advantage.
    Peng et al. 2023, RWKV, arXiv 2305.13048, where one minus the mix is called mu.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.full((3, d_model), START))

    def forward(self, x: Tokens, padding_mask: Bool[Tensor, "batch seq_len"] | None = None) -> Float[Tensor, "3 batch seq_len d_model"]:
        """What the queries, the keys and the values are projected from."""
        return x + self.mix[:, None, None] * (token_before(x, padding_mask) - x)


def token_before(x: Tokens, padding_mask: Bool[Tensor, "batch seq_len"] | None = None) -> Tokens:
    """The token before each: the nearest that is no padding, wherever that is, and zero before the first."""
    if padding_mask is None:
        return F.pad(x[:, :-1], (0, 0, 1, 0))
    places = torch.arange(x.shape[1], device=x.device)
    nearest = torch.where(padding_mask, -1, places).cummax(1).values  # the last token, up to this one, that is no padding
    before = F.pad(nearest[:, :-1], (1, 0), value=-1)
    found = x.gather(1, before.clamp(min=0)[..., None].expand_as(x))
    return found.masked_fill((before < 0)[..., None], 0.0)
