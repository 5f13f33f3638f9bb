"""Block sizes of the Triton kernels by dtype and head_dim, and the choice of the fastest on this GPU.

The candidates are those that NVIDIA's assembler fits into registers for sm_80 and sm_90, or nearly; the last of each list also fits
the shared memory of small GPUs. Which is the fastest is timed once for every shape, seq_len and batch x heads rounded up to powers of two.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple

import triton
from triton.runtime.errors import OutOfResources

TUNING_MS = 40


class Blocks(NamedTuple):
    """Block sizes of a kernel. queries, keys: rows of a block. num_stages: how many blocks the loads run ahead, plus one."""

    queries: int
    keys: int
    num_warps: int
    num_stages: int


# Kernel, bytes of a number, head_dim at most.
CANDIDATES: dict[tuple[str, int, int], tuple[Blocks, ...]] = {
    ("forward", 2, 64): (Blocks(128, 128, 8, 3), Blocks(128, 64, 8, 3), Blocks(128, 64, 4, 3), Blocks(64, 128, 4, 3), Blocks(64, 64, 4, 3)),
    ("forward", 2, 128): (Blocks(128, 64, 8, 3), Blocks(128, 128, 8, 2), Blocks(128, 64, 8, 2), Blocks(64, 64, 4, 2)),
    ("forward", 2, 256): (Blocks(128, 64, 8, 2), Blocks(64, 64, 8, 2), Blocks(64, 32, 4, 2)),
    ("forward", 4, 64): (Blocks(128, 64, 8, 2), Blocks(64, 32, 4, 2), Blocks(32, 32, 4, 2)),
    ("forward", 4, 128): (Blocks(64, 32, 4, 2), Blocks(32, 32, 8, 1)),
    ("forward", 4, 256): (Blocks(16, 16, 4, 1),),
    ("keys", 2, 64): (Blocks(64, 128, 8, 3), Blocks(128, 128, 8, 2), Blocks(64, 64, 4, 3), Blocks(64, 64, 4, 2)),
    ("keys", 2, 128): (Blocks(64, 128, 8, 2), Blocks(64, 64, 8, 2), Blocks(64, 64, 4, 2), Blocks(32, 64, 4, 3)),
    ("keys", 2, 256): (Blocks(32, 64, 8, 2), Blocks(64, 32, 8, 2), Blocks(32, 32, 4, 2)),
    ("keys", 4, 64): (Blocks(32, 64, 4, 2), Blocks(32, 32, 4, 2)),
    ("keys", 4, 128): (Blocks(32, 32, 8, 1),),
    ("keys", 4, 256): (Blocks(16, 16, 4, 1),),
    ("queries", 2, 64): (Blocks(128, 128, 8, 2), Blocks(128, 64, 8, 3), Blocks(64, 128, 4, 3), Blocks(64, 64, 4, 3)),
    ("queries", 2, 128): (Blocks(128, 64, 8, 2), Blocks(64, 64, 8, 2), Blocks(64, 64, 4, 2)),
    ("queries", 2, 256): (Blocks(64, 64, 8, 2), Blocks(32, 64, 8, 2), Blocks(32, 32, 4, 2)),
    ("queries", 4, 64): (Blocks(64, 32, 4, 2), Blocks(32, 32, 4, 2)),
    ("queries", 4, 128): (Blocks(32, 32, 8, 1),),
    ("queries", 4, 256): (Blocks(16, 16, 4, 1),),
}

_fastest: dict[Hashable, Blocks] = {}


def candidates(kernel: str, itemsize: int, head_dim: int) -> tuple[Blocks, ...]:
    width = next(width for width in (64, 128, 256) if head_dim <= width)
    return CANDIDATES[kernel, itemsize, width]


def fastest(key: Hashable, choice: tuple[Blocks, ...], start: Callable[[Blocks], None]) -> Blocks:
    """The candidate with which `start` takes the least time on the current GPU. Timed at the first call with this key, which waits."""
    if key not in _fastest:
        _fastest[key] = choice[0] if len(choice) == 1 else min(choice, key=lambda blocks: _milliseconds(blocks, start))
    return _fastest[key]


def _milliseconds(blocks: Blocks, start: Callable[[Blocks], None]) -> float:
    try:
        return float(triton.testing.do_bench(lambda: start(blocks), warmup=TUNING_MS // 4, rep=TUNING_MS, return_mode="median"))
    except OutOfResources:  # this GPU has less shared memory
        return float("inf")
