"""Counts the floating-point operations that kernels report themselves: torch's counter does not see inside custom kernels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from attnbench.attention import BadInput


class Reported(list[float]):
    """What kernels report, in order; `backward` is that part of it which they report inside a backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.backward: list[float] = []

    def append(self, n: float) -> None:
        super().append(n)
        if in_backward():
            self.backward.append(n)


def in_backward() -> bool:
    """Whether this thread is inside a backward pass of autograd."""
    return torch._C._current_graph_task_id() != -1


# Shared by the whole process, no context variable: on CUDA, autograd runs backward in threads of its own, which inherit no context.
_counting: list[Reported] = []


def count_flops(n: int | float) -> None:
    """Report n floating-point operations; a kernel calls it where it is launched. Does nothing while nobody counts.

    Not for kernels made of torch's operations, which torch's counter sees by itself.
    Raises BadInput when n is negative or not finite.
    """
    if not 0 <= n < math.inf:
        raise BadInput(f"count_flops was given {n!r}; it takes the number of floating-point operations of a launch, 0 or more")
    for reported in _counting:
        reported.append(n)


@contextmanager
def reported_flops() -> Iterator[Reported]:
    """A list of what is reported, in any thread, while the context is open. Contexts may nest: each gets everything."""
    reported = Reported()
    _counting.append(reported)
    try:
        yield reported
    finally:
        _counting[:] = [other for other in _counting if other is not reported]


def visible_pairs(queries: int, keys: int, causal: bool) -> int:
    """How many pairs of a query and a key take part in attention: all, or exactly those with key <= query when causal.

    >>> visible_pairs(4, 4, True), visible_pairs(4, 2, True), visible_pairs(2, 4, True)
    (10, 7, 3)
    """
    if not causal:
        return queries * keys
    diagonal = min(queries, keys)
    return diagonal * (diagonal + 1) // 2 + (queries - diagonal) * keys
