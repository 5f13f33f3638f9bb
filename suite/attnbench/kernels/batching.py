"""What a hand-written autograd function needs under torch.func.vmap: the mapped axis becomes part of the batch."""

from __future__ import annotations

from torch import Tensor


def fold(x: Tensor, dim: int | None, size: int) -> Tensor:
    """[..., mapped, ...] to [mapped * batch, ...]; an argument that is not mapped is repeated for every element."""
    mapped = x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
    return mapped.flatten(0, 1)


def unfold(x: Tensor, size: int) -> Tensor:
    """[mapped * batch, ...] back to [mapped, batch, ...]."""
    return x.unflatten(0, (size, -1))
