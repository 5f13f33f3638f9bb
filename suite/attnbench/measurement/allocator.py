"""Sets how the C library reuses freed memory."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_freed_memory() -> None:
    """Have glibc reuse freed blocks of up to 32 MiB, the most that it can, and return no memory to the system.

    By default it does much the same once it has freed such blocks, but how soon, and what it returns, depends on the history of the heap:
    the same call of softmax_math at seq_len 1,024 took 12 ms in one process and 19 in the next, where its pages were mapped anew each time.
    """
    with suppress(AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 2**25)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**30)
