"""Whether this system can measure, and what a measurement must do without on it. Reading results needs none of it."""

from __future__ import annotations

import os
import platform
import sys
from importlib import import_module
from multiprocessing import get_all_start_methods

from attnbench.errors import AttnbenchError
from attnbench.store.probe import fact


class CannotMeasure(AttnbenchError):
    """Raised on a system on which no cell can be given a process of its own that can be killed with all that it starts."""


def require_measuring() -> None:
    """Raises CannotMeasure, with what to do, where `why_not` gives a reason."""
    why = why_not()
    if why is not None:
        raise CannotMeasure(why)


def why_not() -> str | None:
    """Why nothing can be measured on this system; None if it can."""
    has_modules = all(fact(lambda name=name: import_module(name)) for name in ("fcntl", "resource"))  # type: ignore[misc]
    if has_modules and hasattr(os, "killpg") and "forkserver" in get_all_start_methods() and sys.platform != "win32":
        return None
    return (
        f"{_system()} cannot measure: attnbench gives each cell a process of its own, forked from one that is ready, and kills it with "
        "all that it started; measure on Linux (WSL will do) or macOS. Reading, comparing and publishing results work here"
    )


def lacking() -> str | None:
    """What a measurement does without on a system that can measure; None where nothing is missing, on Linux."""
    if sys.platform == "linux":
        return None
    return (
        f"{_system()}: a cell's memory has no limit here, what a mechanism leaves running is not found, a cell outlives an attnbench that "
        "is killed, and there is no figure of resident memory; times, counted memory and results are measured as on Linux"
    )


def _system() -> str:
    return {"darwin": "macOS", "win32": "Windows"}.get(sys.platform, platform.system() or sys.platform)
