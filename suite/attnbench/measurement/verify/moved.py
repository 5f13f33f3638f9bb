"""How results move when their inputs move by little more than rounding: what no computation in float32 can do better than.

A gradient jumps at a kink, as that of relu(x) does at 0: two computations whose rounding differs may stand on either side of it. A sum of
thousands of terms that cancel, as the gradient by a scalar is, may by chance be exact in the plain form, and in no other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

STEP = 64 * torch.finfo(torch.float32).eps  # far more than rounding, so that both sides of a kink are seen, far less than what matters
TIMES = 2
UNITS = 8.0  # of rounding of the inputs, whose effect on a sum that cancels is no error
TIMES_JUMP = 2.0


@dataclass(frozen=True)
class Moved:
    """Of one result, for inputs moved by STEP: jump is the size of its second difference, which is 0 where it is smooth; change that of the first."""

    jump: Tensor
    change: Tensor

    def slack(self, dtype: torch.dtype, is_sum: bool) -> Tensor:
        """By how much a result in a dtype may be off for it; is_sum: it is a sum over all tokens, as the gradient by a parameter is."""
        found = TIMES_JUMP * self.jump
        return found + self.change * (UNITS * torch.finfo(dtype).eps / STEP) if is_sum else found


def moved(function: Callable[[Sequence[Tensor]], Sequence[Tensor]], inputs: Sequence[Tensor]) -> list[Moved]:
    """How each result of a function moves when all its inputs, of about unit size, move one way and the other; the largest of a few moves."""
    middle = function(inputs)
    found = [Moved(torch.zeros_like(x), torch.zeros_like(x)) for x in middle]
    for _ in range(TIMES):
        step = [STEP * torch.randn_like(x) for x in inputs]
        one, other = (function([x + way * by for x, by in zip(inputs, step, strict=True)]) for way in (1, -1))
        found = [
            Moved(torch.maximum(known.jump, (x + y - 2 * z).abs()), torch.maximum(known.change, (x - y).abs() / 2))
            for known, x, y, z in zip(found, one, other, middle, strict=True)
        ]
    return found
