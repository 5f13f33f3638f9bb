"""The lock that allows one measurement at a time on this machine: two at once would disturb each other's times."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attnbench.errors import AttnbenchError


@contextmanager
def measurement_lock() -> Iterator[None]:
    """Context manager: holds the lock that every attnbench of this user takes while it measures.

    Raises AttnbenchError where there is no folder of temporary files that can be written.
    """
    from filelock import FileLock, Timeout  # here: doctor reads this module, also where no measurement is possible

    user = os.getuid() if hasattr(os, "getuid") else ""  # Windows gives each user a folder of temporary files
    try:
        lock = FileLock(Path(tempfile.gettempdir()) / f"attnbench-measuring-{user}.lock")
        try:
            lock.acquire(timeout=0.2)
        except Timeout:
            print("waiting for another attnbench that is measuring on this machine ...", file=sys.stderr, flush=True)
            lock.acquire()
    except OSError as error:
        raise AttnbenchError(f"no temporary file can be written ({error}); set TMPDIR to a folder that can be written") from error
    try:
        yield
    finally:
        lock.release()
