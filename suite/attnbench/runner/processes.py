"""How a job's process ends: asked of one thread at a time, and killed with everything that it started."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from multiprocessing import connection
from typing import Any

import psutil

# What psutil raises for a process that is gone or another user's, and where it cannot read the system: the group is killed all the same.
_UNKNOWN = (psutil.Error, OSError, RuntimeError)
DYING_S = 5.0  # that a process may take to die when it has closed its pipe

# To start a process multiprocessing asks all others how they ended, and of two threads that ask the same one only one is told.
ASKING = threading.Lock()


def let_end(process: Any, receiving: Any) -> None:
    """Kill what a process started, and let the process, which has sent its result, end by itself: it cleans up behind itself."""
    if exitcode(process) is None:
        for one in _stopped_family(process.pid):
            with suppress(*_UNKNOWN):
                if one.pid == process.pid:
                    one.resume()
                else:
                    one.kill()
    receiving.close()
    join(process, DYING_S)


def kill(process: Any) -> None:
    """Kill a job's process and everything it started, in whatever group or session that is by now."""
    if process.pid is None:
        return
    if exitcode(process) is None:
        for one in _stopped_family(process.pid):
            with suppress(*_UNKNOWN):
                one.kill()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        with ASKING:
            process.kill()  # gone already, or killed before it led its group
    join(process)


def exitcode(process: Any) -> int | None:
    """How a process ended; None if it has not."""
    with ASKING:
        code: int | None = process.exitcode
    return code


def join(process: Any, timeout_s: float | None = None) -> None:
    """Wait until a process has ended, or for so long."""
    if exitcode(process) is None and connection.wait([process.sentinel], timeout_s):
        with ASKING:
            process.join()


def _stopped_family(pid: int) -> set[psutil.Process]:
    """A process and its descendants, which include its orphans (see child.py), stopped so that none starts another meanwhile."""
    family: set[psutil.Process] = set()
    with suppress(*_UNKNOWN):
        leader = psutil.Process(pid)
        while more := {leader, *leader.children(recursive=True)} - family:
            family |= more
            for one in more:
                with suppress(*_UNKNOWN):
                    one.suspend()
    return family
