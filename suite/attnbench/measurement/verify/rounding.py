"""Samples of what rounding may do to a result, by Monte Carlo arithmetic: what operations take and give is rounded at random.

What one computation in float32 loses may by chance be little: the only key of a row has weight s^2 / s^2, which is 1 exactly, so that the
plain form's gradient by s is 0, while another computation that is just as good leaves a difference of two roundings.

Parker 1997, Monte Carlo Arithmetic: exploiting randomness in floating-point arithmetic, UCLA CSD-970002.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

UNIT = torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class Rounding:
    """What rounding may do to one result.

    jump:   how far each of its numbers jumps at kinks.
    losses: samples of what its plain form loses.
    """

    jump: Tensor
    losses: Sequence[Tensor] = ()

    def of(self, part: Callable[[Tensor], Tensor]) -> Rounding:
        """The same of a part of the result, as `part` takes it."""
        return Rounding(part(self.jump), [part(x) for x in self.losses])


class RandomRounding(TorchDispatchMode):
    """Context manager: what operations in float64 take and give is rounded at random by up to half a unit of float32, in gradients too.

    Views compute nothing and are not rounded; nor is what comes of no number that could be, as a count.
    """

    supports_higher_order_operators = True  # such as flex_attention, which are taken as they are

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._generator = generator

    def __torch_dispatch__(self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        """The result of an operation on operands that are rounded, rounded."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if not isinstance(func, OpOverload) or func.is_view:
            return out
        if not _any_rounded((args, kwargs)) or not _any_rounded(out):  # a comparison is of exact numbers
            return out
        if any(x.alias_info is not None for x in func._schema.returns):  # what is written to must stay the same tensor
            return tree_map_only(Tensor, self._round_in_place, out)
        args, kwargs = tree_map_only(Tensor, self._rounded, (args, kwargs))
        return tree_map_only(Tensor, self._rounded, func(*args, **kwargs))

    def _rounded(self, x: Tensor) -> Tensor:
        return x * self._factor(x) if _is_rounded(x) else x

    def _round_in_place(self, x: Tensor) -> Tensor:
        return x.mul_(self._factor(x)) if _is_rounded(x) else x

    def _factor(self, x: Tensor) -> Tensor:
        noise = torch.rand(x.shape, generator=self._generator, device=self._generator.device, dtype=x.dtype)
        return noise.to(x.device).sub_(0.5).mul_(UNIT).add_(1.0)  # a number beside tensors of a GPU stays on the processor


def _is_rounded(x: object) -> bool:
    return isinstance(x, Tensor) and x.dtype == torch.float64


def _any_rounded(tree: object) -> bool:
    return any(_is_rounded(x) for x in tree_leaves(tree))
