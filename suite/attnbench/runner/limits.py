"""The limits that a job's process keeps: how much memory it may take, and how large a file it may write."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from attnbench.runner.jobs import Limits
from attnbench.store import hardware
from attnbench.store.probe import fact

try:
    import resource
except ImportError:  # no Unix: there nothing is measured (can_measure.py), but what reads results imports this all the same
    resource = None  # type: ignore[assignment]

LARGEST_FILE_BYTES = 2**28  # that a job may write, so that one which never stops printing cannot fill the disk
STATM = Path("/proc/self/statm")


def memory_budget_bytes(limits: Limits, memory: int | None = None) -> int | None:
    """How much a job on the CPU may allocate: its share of the memory that this process may use, or less under a lower hard limit.

    memory: of the machine, in bytes; None to look. None where neither is known.
    """
    memory = memory or hardware.memory_bytes()
    share = None if memory is None else int(memory * limits.memory_share)
    hard = None if resource is None else _finite(resource.getrlimit(resource.RLIMIT_AS)[1])
    return min((bytes_ for bytes_ in (share, hard) if bytes_ is not None), default=None)


def limit_file_size() -> None:
    """Have this process write no file of more than LARGEST_FILE_BYTES."""
    _lower("RLIMIT_FSIZE", LARGEST_FILE_BYTES)


def limit_memory(budget: int | None) -> None:
    """Cap this process at what it holds now plus the budget; what exceeds it fails as an allocation, not as a kill.

    Only where /proc says what it holds, on Linux: elsewhere there is no such cap.
    """
    held = fact(lambda: int(STATM.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE"))
    if budget is not None and held is not None:
        _lower("RLIMIT_AS", held + budget)


def _lower(name: str, wanted: int) -> None:
    """Set a limit of this process to `wanted`, or leave it at the hard limit that is there where that is lower: nobody may raise it."""
    kind = getattr(resource, name)
    hard = _finite(resource.getrlimit(kind)[1])
    lowest = wanted if hard is None else min(wanted, hard)
    with suppress(OSError, ValueError):  # a sandbox may forbid it; what the process was started with holds then
        resource.setrlimit(kind, (lowest, lowest))


def _finite(limit: int) -> int | None:
    """A limit of the system; None where there is none."""
    return None if limit == resource.RLIM_INFINITY else limit
