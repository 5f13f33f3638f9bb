"""Writes to standard output and error, whichever letters these have."""

from __future__ import annotations

import io
import json
import sys


def write_any_letter() -> None:
    """Have standard output and error write a "?" for a letter that their encoding lacks, where Python would raise UnicodeEncodeError.

    Old consoles, logs of CI and locales such as C are not in UTF-8. To be called when the program starts.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None where it is closed
            stream.reconfigure(errors="replace")


def print_json(value: object) -> None:
    """Print JSON; letters that the output's encoding lacks are written as escapes, which mean the same."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    print(text)
