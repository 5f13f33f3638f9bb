"""The vmap of hand-written autograd functions: the mapped axis becomes part of the batch."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import Function


def by_folding(function: type[Function], info: Any, in_dims: tuple[Any, ...], inputs: tuple[Any, ...]) -> tuple[Tensor, int]:
    """The function's `vmap`: calls it on tensors [mapped * batch, ...] and gives its result as [mapped, batch, ...].

    A tensor that is not mapped is repeated for every element.
    """
    return _folded(function, info, in_dims, inputs).unflatten(0, (info.batch_size, -1)), 0


def several_by_folding(
    function: type[Function], info: Any, in_dims: tuple[Any, ...], inputs: tuple[Any, ...]
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """The same for a function of several results."""
    results = _folded(function, info, in_dims, inputs)
    return tuple(x.unflatten(0, (info.batch_size, -1)) for x in results), (0,) * len(results)


def _folded(function: type[Function], info: Any, in_dims: tuple[Any, ...], inputs: tuple[Any, ...]) -> Any:
    """What the function gives for tensors [mapped * batch, ...]."""

    def fold(x: Tensor, dim: int | None) -> Tensor:
        return (x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)).flatten(0, 1)

    return function.apply(*[fold(x, dim) if isinstance(x, Tensor) else x for x, dim in zip(inputs, in_dims, strict=True)])
