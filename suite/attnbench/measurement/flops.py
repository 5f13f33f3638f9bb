"""Floating-point operations of a call: matrix products and attention as torch's counter sees them, and what kernels report."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from attnbench.errors import AttnbenchError, text_of
from attnbench.kernels.count import in_backward, reported_flops, visible_pairs

_HIGHER_ORDER = ("torch.ops.higher_order", "HigherOrderOperator")  # in what torch raises for one in a mode that it has no rule for


class Uncountable(AttnbenchError):
    """The operations of a call cannot be counted; its time and memory can be measured all the same."""


@dataclass(frozen=True)
class Flops:
    """Floating-point operations of a call: all that ran, and those outside of backward passes."""

    executed: float
    forward: float

    def algorithmic(self, mode: str) -> float:
        """The operations that the computation needs, whatever a backward pass computes anew: in training three times its forward pass.

        Never more than ran: the derivative of an iteration may need less than twice what the iteration does.
        """
        return min(self.executed, 3 * self.forward) if mode == "training" else self.executed


def flops(call: Callable[[int], object]) -> float:
    """The floating-point operations of `call(0)` that ran; see `count`."""
    return count(call).executed


def count(call: Callable[[int], object]) -> Flops:
    """Floating-point operations of `call(0)`: of its matrix products, its attention kernels, and the kernels that report theirs.

    A multiplication and an addition are two. Causal attention counts the pairs of a query and a key that it sees, N(N+1)/2 of N^2, not the
    blocks that a kernel happens to touch. Elementwise work, factorisations and solves are not counted.

    Raises Uncountable for a call that torch's counter cannot follow.
    """
    try:
        with (
            torch.compiler.set_stance("force_eager"),  # what is compiled hides its operators; and in a mode torch refuses to compile
            reported_flops() as reported,
            FlopCounterMode(display=False, custom_mapping={**_ATTENTION, **_IN_PLACE}) as counter,
            _Backward(counter) as backward,
        ):
            call(0)
    except (TypeError, NotImplementedError) as error:
        if any(sign in text_of(error) for sign in _HIGHER_ORDER):
            torch.compiler.reset()  # or the next call of the operator fails on what was traced here
            raise Uncountable("torch's counter does not see into an operator of higher order, such as flex_attention") from error
        raise
    executed = counter.get_total_flops() + math.fsum(reported)
    return Flops(executed, executed - backward.flops - math.fsum(reported.backward))


class _Backward(TorchDispatchMode):
    """Context manager: counts in `flops` what the counter around it counts inside backward passes."""

    supports_higher_order_operators = True

    def __init__(self, counter: FlopCounterMode) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self._counter = counter

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = self._counter.get_total_flops()
        result = func(*args, **(kwargs or {}))
        if in_backward():
            self.flops += self._counter.get_total_flops() - before
        return result


def _attention_formula(operation: Any, backward: bool) -> Callable[..., int]:
    """A formula for torch's counter, which calls it with shapes in the place of tensors. Arguments are found by their names."""
    names = [argument.name for argument in operation.default._schema.arguments]

    def formula(*args: Any, out_shape: Any = None, **kwargs: Any) -> int:
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        batch, heads, queries, width = given["query"]
        keys, value_width = given["value"][-2:]
        pairs = visible_pairs(queries, keys, given.get("is_causal") is True)
        # Forward: Q K^T and P V. Backward: Q K^T again, dO V^T and P^T dO, dS K and dS^T Q.
        columns = 3 * width + 2 * value_width if backward else width + value_width
        return 2 * int(batch * heads * pairs * columns)

    return formula


def _product_flops(total: Any, a: Any, b: Any, *_: Any, **__: Any) -> int:
    return 2 * math.prod(a) * int(b[-1])


# torch's own formulas count a causal call as a full one, and the CPU's kernel as nothing. Not every torch has all of these.
_ATTENTION_KERNELS = (
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable",
)
_ATTENTION: dict[Any, Any] = {
    operation: _attention_formula(operation, backward)
    for kernel in _ATTENTION_KERNELS
    for backward in (False, True)
    if (operation := getattr(torch.ops.aten, kernel + "_backward" * backward, None)) is not None
}
# Nor does torch's counter know the products that accumulate in place.
_IN_PLACE: dict[Any, Any] = {torch.ops.aten.baddbmm_: _product_flops, torch.ops.aten.addmm_: _product_flops}
