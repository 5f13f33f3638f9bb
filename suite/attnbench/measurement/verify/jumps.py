"""How far results jump where what they are computed from moves by little more than rounding.

A gradient jumps at a kink, as that of relu(x) does at 0, and two computations whose rounding differs may stand on either side of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

STEP = 64 * torch.finfo(torch.float32).eps  # far more than rounding, so that both sides of a kink are seen, far less than what matters
MOVES = 2


def jumps(function: Callable[[float, torch.Generator], Sequence[Tensor]], middle: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """By how much each result of a function jumps: the size of its second difference, which is 0 where it is smooth; the largest of two.

    function: called with how far to move what it computes on, and with what draws the direction, the same for both ways; see `shifted`.
    middle:   its results where nothing is moved.
    """
    generator = torch.Generator(device)

    def move(seed: int, by: float) -> Sequence[Tensor]:
        return function(by, generator.manual_seed(seed))

    found = [torch.zeros_like(x) for x in middle]
    for seed in range(MOVES):
        ways = zip(found, move(seed, STEP), move(seed, -STEP), middle, strict=True)
        found = [torch.maximum(known, (x + y - 2 * z).abs()) for known, x, y, z in ways]
    return found


def shifted(x: Tensor, by: float, generator: torch.Generator) -> Tensor:
    """Each number of a tensor changed by about `by` of its size, either way."""
    return x * (1 + by * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype))
