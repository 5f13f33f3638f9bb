"""Runs a job inside its own process: sets limits, does the job, says how it ended, and dies with the parent."""

from __future__ import annotations

import ctypes
import io
import os
import signal
import sys
import traceback
from contextlib import suppress
from multiprocessing import connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

from attnbench.errors import Incorrect, Unavailable, Unsupported, is_out_of_memory, text_of
from attnbench.measurement.cell_result import Stage
from attnbench.runner.jobs import Job, Result
from attnbench.runner.limits import limit_file_size, limit_memory, memory_budget_bytes

LONGEST_REASON = 500  # characters
TRACEBACK_FRAMES, TRACEBACK_BYTES = 4, 1200  # of its end, which names the place
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def run_job(job: Job, sending: Any, receiving: Any, lifeline: Any, held: Any, output: str) -> None:
    """The main function of a job's process: does the job, says how it ended, and waits until the parent has killed all that it started.

    sending: where stages and the result go; the parent closes the other end, receiving, when this process may end.
    lifeline: a pipe that closes when the parent dies. Its other end is held. This process closes its copies of held and receiving.
    output: the file that takes what is printed.
    """
    os.setsid()
    held.close()
    receiving.close()
    _die_with_parent(lifeline.fileno())
    _adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    printed = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    for stream in (sys.stdout, sys.stderr):  # whatever letters a mechanism prints, the parent reads UTF-8
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")
    sending.send_bytes(_outcome(job, sending, printed))
    connection.wait([sending])  # the parent can find what was started only while this process lives


def _outcome(job: Job, sending: Any, printed: int) -> Any:
    """Do the job; gives the pickled message that says how it ended."""
    stage = "start"

    def tell(name: str) -> None:
        nonlocal stage
        stage = name
        sending.send(("stage", name))
        sending.recv()  # the parent has looked at the system and waits

    try:
        message = ForkingPickler.dumps(("result", Result("ok", "done", None, _work(job, tell))))
    except BaseException as error:
        status, reason = _classify(error)
        if status == "error":
            _print_traceback(printed)
        message = ForkingPickler.dumps(("result", Result(status, stage, reason)))
    return message


def _work(job: Job, tell: Stage) -> Any:
    import torch

    torch.set_num_threads(job.threads)
    limit_file_size()
    if job.device == "cpu":
        limit_memory(memory_budget_bytes(job.limits))
    elif torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(job.limits.memory_share)
    return job.work(tell)


def _classify(error: BaseException) -> tuple[str, str]:
    """A record's status and reason for an error, whatever it is."""
    text = text_of(error)[:LONGEST_REASON]
    if isinstance(error, Unsupported):
        return "skipped", text
    if isinstance(error, (Unavailable, ConnectionError)):
        return "unavailable", text
    if isinstance(error, Incorrect):
        return "incorrect", text
    named = f"{type(error).__name__}: {text}".strip()
    if is_out_of_memory(error):
        return "oom", named.splitlines()[0][:300]
    return "error", named


def _print_traceback(printed: int) -> None:
    """The end of the traceback of the error under way, below what the job itself printed."""
    with suppress(Exception):  # closed, replaced, or too long: whatever a mechanism made of it
        sys.stdout.flush()
    text = traceback.format_exc(limit=-TRACEBACK_FRAMES).encode("utf-8", "backslashreplace")
    with suppress(OSError):  # where nothing can be written the reason must do without
        os.write(printed, b"\n" + text[-TRACEBACK_BYTES:])


def _adopt_orphans() -> None:
    """Have Linux give this process the children of its dead children, so that a daemon it starts is found among its family."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _die_with_parent(lifeline: int) -> None:
    """Have Linux kill this process's group when the other end of the pipe closes, as it does when the parent is killed.

    PR_SET_PDEATHSIG would watch the fork server, which outlives the parent for as long as one of its children runs.
    """
    if sys.platform == "linux":
        import fcntl

        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC)
        if connection.wait([lifeline], timeout=0):  # it closed before the kernel was asked to watch
            os.killpg(0, signal.SIGKILL)
