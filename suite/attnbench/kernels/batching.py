"""The vmap of hand-written autograd functions: the mapped axis becomes part of the batch."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import Function


def by_folding(function: type[Function], info: Any, in_dims: tuple[Any, ...], inputs: tuple[Any, ...]) -> tuple[Any, Any]:
    """The function's `vmap`: calls it on tensors [mapped * batch, ...] and gives its result, or each of them, as [mapped, batch, ...].

    A tensor that is not mapped is repeated for every element.
    """
    size = info.batch_size

    def fold(x: Tensor, dim: int | None) -> Tensor:
        return (x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)).flatten(0, 1)

    folded = [fold(x, dim) if isinstance(x, Tensor) else x for x, dim in zip(inputs, in_dims, strict=True)]
    found = function.apply(*folded)
    if isinstance(found, tuple):
        return tuple(x.unflatten(0, (size, -1)) for x in found), (0,) * len(found)
    return found.unflatten(0, (size, -1)), 0
