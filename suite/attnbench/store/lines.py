"""Reads the lines of a session's file, whatever wrote it."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path


def lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """Yield every line that is not blank, with its number, without a byte order mark before it. Raises OSError as `open` does."""
    with file.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            content = line.removeprefix(codecs.BOM_UTF8)
            if content.strip():
                yield number, content
