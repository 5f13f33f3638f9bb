"""Padded sequences packed: the tokens side by side, in their order, and the padding after them, where no causal row sees it."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor

from attnbench.attention import PaddingMask, hide_padding, token_ranks

Heads = Float[Tensor, "batch _ seq_len _"]


def pack(padding_mask: PaddingMask | None, *tensors: Heads) -> tuple[Tensor, ...]:
    """The tensors with the tokens of each sequence first, and zeros after them."""
    if padding_mask is None:
        return tensors
    order = _order(padding_mask)
    return tuple(_reordered(x, order) for x in hide_padding(padding_mask, *tensors))


def packed_padding(padding_mask: PaddingMask) -> Bool[Tensor, "batch seq_len"]:
    """Where there is padding in what `pack` gives."""
    return padding_mask.gather(1, _order(padding_mask))


def unpack(padding_mask: PaddingMask | None, out: Heads) -> Tensor:
    """The rows of packed sequences, back where the tokens were, and zeros at padding."""
    if padding_mask is None:
        return out
    return hide_padding(padding_mask, _reordered(out, token_ranks(out.shape[2], padding_mask, out.device)))[0]


def _order(padding_mask: PaddingMask) -> Int[Tensor, "batch seq_len"]:
    return padding_mask.byte().argsort(dim=-1, stable=True)


def _reordered(x: Tensor, order: Int[Tensor, "batch seq_len"]) -> Tensor:
    return x.gather(2, order[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3]))
