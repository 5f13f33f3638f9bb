"""The lock of this machine: what is timed has the machine to itself, and what is not timed shares it with others that are not."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from attnbench.errors import AttnbenchError

SOON_S = 0.2  # after which a wait is told
LOOK_S = 0.05  # between two looks at a lock that another process holds


class Cancelled(AttnbenchError):
    """Raised where a wait for the lock was given up."""


@contextmanager
def measurement_lock(shared: bool = False, given_up: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Context manager: holds the lock that every attnbench of this user takes while it measures.

    Its holder is alone on the machine, unless all hold it shared, as cells do whose times do not count. Who waits to be alone comes before
    all who ask later, so that a machine on which one training follows another is free at the end of those that run.

    given_up: asked while waiting. Raises Cancelled where it says so, AttnbenchError where there is no folder of temporary files that can be
    written.
    """
    import fcntl  # here: doctor reads this module, also where no measurement is possible

    user = os.getuid()
    with ExitStack() as files:
        try:
            folder = Path(tempfile.gettempdir())
            # Held on the way to the other one alone. The system gives both back when a process dies, however it does.
            turn = files.enter_context((folder / f"attnbench-turn-{user}.lock").open("a+b"))
            measuring = files.enter_context((folder / f"attnbench-measuring-{user}.lock").open("a+b"))
            _wait(turn, fcntl.LOCK_EX, given_up)
            _wait(measuring, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, given_up)
            fcntl.flock(turn, fcntl.LOCK_UN)
        except OSError as error:
            raise AttnbenchError(f"no temporary file can be written ({error}); set TMPDIR to a folder that can be written") from error
        try:
            yield
        finally:
            fcntl.flock(measuring, fcntl.LOCK_UN)  # a process that was forked meanwhile has the file open too


def _wait(file: IO[bytes], how: int, given_up: Callable[[], bool]) -> None:
    """Lock a file as soon as no other process stands in the way; says so where that takes a while."""
    import fcntl

    began, told = time.monotonic(), False
    while True:
        try:
            return fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        if given_up():
            raise Cancelled("the wait for another attnbench was given up")
        if not told and time.monotonic() - began > SOON_S:
            told = True
            print("waiting for another attnbench that is measuring on this machine ...", file=sys.stderr, flush=True)
        time.sleep(LOOK_S)
