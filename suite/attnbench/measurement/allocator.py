"""What the C library does with memory that was freed."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_freed_memory() -> None:
    """Have glibc reuse freed blocks up to the largest that it ever does, 32 MiB, and give nothing back to the system.

    Left alone it comes to much the same once such blocks were freed, but how soon, and what it gives back, hang on accidents of the heap:
    the same call of softmax_math at seq_len 1,024 took 12 ms in one process and 19 in the next, for its pages were mapped anew each time.
    """
    with suppress(AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 2**25)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**30)
