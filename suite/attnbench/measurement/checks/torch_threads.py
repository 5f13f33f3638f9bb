"""How many threads torch uses while a mechanism is checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch


@contextmanager
def using_threads(number: int) -> Iterator[None]:
    """Context manager: torch uses so many threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def one_thread() -> AbstractContextManager[None]:
    """Context manager: torch uses one thread. Several would wait for each other at small sizes, and add up in processor time at large."""
    return using_threads(1)
