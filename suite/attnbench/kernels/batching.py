"""The vmap of hand-written autograd functions: the mapped axis becomes part of the batch."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import Function


def by_folding(
    function: type[Function], info: Any, in_dims: tuple[Any, ...], inputs: tuple[Any, ...]
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """The `vmap` of a function of several results: calls it on tensors [mapped * batch, ...] and gives each as [mapped, batch, ...].

    A tensor that is not mapped is repeated for every element. All tensors have the whole batch.
    """

    def fold(x: Tensor, dim: int | None) -> Tensor:
        return (x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)).flatten(0, 1)

    results = function.apply(*[fold(x, dim) if isinstance(x, Tensor) else x for x, dim in zip(inputs, in_dims, strict=True)])
    return tuple(x.unflatten(0, (info.batch_size, -1)) for x in results), (0,) * len(results)
