"""Asks the system for facts that only describe it: what it cannot say, in time and in a form that can be read, is left out."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

LIMIT_S = 10.0  # of a command
LARGEST_BYTES = 2**20  # of a command's output or of a file
DYING_S = 1.0  # that a killed command may take; a process inside a driver that hangs cannot be killed at all

T = TypeVar("T")


def fact(ask: Callable[[], T]) -> T | None:
    """What a function gives; None where it fails, in whatever way.

    For facts alone: a processor of another kind, a damaged package or a file system without permissions must not end a measurement.
    """
    try:
        return ask()
    except Exception:
        return None


def text_of_file(file: Path) -> str | None:
    """The text of a small file, whatever bytes are in it; None where it cannot be read."""
    return fact(lambda: _text(_first_bytes(file)))


def positive_number(text: str | None) -> float | None:
    """A finite number above zero, from its text; None for anything else."""
    value = fact(lambda: float(text or ""))
    return value if value is not None and 0 < value < math.inf else None


def output_of(command: Sequence[str], limit_s: float = LIMIT_S) -> str | None:
    """What a command prints, whatever bytes those are; None where it is missing, fails, or has not ended after some seconds.

    It is killed then, with what it started, and not waited for where it cannot be killed.
    """
    succeeded, text = result_of(command, limit_s)
    return text if succeeded else None


def result_of(
    command: Sequence[str], limit_s: float = LIMIT_S, environment: Mapping[str, str] | None = None, errors: bool = False
) -> tuple[bool | None, str]:
    """Whether a command succeeded, and what it printed; None instead of True or False where it gave no answer in time.

    environment: the command's, if not this process's. errors: what it prints as errors is wanted too.
    """
    try:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if errors else subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # a group of its own, so that what it starts can be killed with it
        )
    except (OSError, ValueError):  # missing, no program, no processes left
        return None, ""
    printed: list[bytes] = []
    reader = threading.Thread(target=lambda: printed.append(_read_all(process)), daemon=True)
    reader.start()
    ended = False
    try:
        reader.join(limit_s)
        ended = not reader.is_alive() and _ends(process, DYING_S)
    finally:
        if not ended:
            _kill(process)
    return (process.returncode == 0 if ended else None), _text(printed[0] if printed else b"")


def _read_all(process: subprocess.Popen[bytes]) -> bytes:
    """The first of what a process prints; the rest is read and forgotten, so that it can end."""
    assert process.stdout is not None
    with process.stdout as stream:
        kept = stream.read(LARGEST_BYTES)
        while stream.read(LARGEST_BYTES):
            pass
    return kept


def _ends(process: subprocess.Popen[bytes], limit_s: float) -> bool:
    with suppress(subprocess.TimeoutExpired):
        process.wait(limit_s)
    return process.returncode is not None


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    _ends(process, DYING_S)


def _first_bytes(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(LARGEST_BYTES)


def _text(content: bytes) -> str:
    """The text of what came, in which bytes that are no text, and control characters, which no record holds, are replaced."""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", "\ufffd", content.decode("utf-8", errors="replace")).strip()
