"""A lock on an open file, against other processes that append to it."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows has another kind of lock, in which others could not even read the file meanwhile
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(stream: IO[Any], file: Path) -> Iterator[None]:
    """Context manager: holds an exclusive lock on an open file, waiting for it; both end together.

    The lock is on the file itself, leaves nothing beside it, and ends with a killed process. Where there is no such lock it is on a file
    of temporary files, named after this one.
    """
    if fcntl is not None:
        fcntl.flock(stream, fcntl.LOCK_EX)  # until the stream is closed
        yield
        return
    from filelock import FileLock

    name = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:16]
    with FileLock(Path(tempfile.gettempdir()) / f"attnbench-{name}.lock"):
        yield
