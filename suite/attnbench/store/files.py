"""Writes files atomically."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole(file: Path) -> Iterator[BinaryIO]:
    """Context manager: a stream whose content replaces `file` when all is written. Makes the folder if needed.

    A reader sees the old content or the new, never a part, even after a crash. Raises OSError when it cannot be written; an older file then
    stays as it was.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


def write_whole(file: Path, content: bytes) -> None:
    """Write a file atomically, as `whole` does. Raises OSError when it cannot be written."""
    with whole(file) as stream:
        stream.write(content)
