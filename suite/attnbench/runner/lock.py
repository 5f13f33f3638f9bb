"""The lock of this machine: what is timed has the machine to itself, and what is not timed shares it with others that are not."""

from __future__ import annotations

import os
import re
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
def measurement_lock(shared: bool = False, given_up: Callable[[], bool] = lambda: False, gpu: str | None = None) -> Iterator[None]:
    """Context manager: holds the lock that every attnbench of this user takes while it measures.

    Its holder is alone on the machine, unless all hold it shared, as cells do whose times do not count. Who waits to be alone comes before
    all who ask later, so that a machine on which one training follows another is free at the end of those that run.

    gpu: with a name, the holder is alone on that GPU, and the machine is shared with those on its others. given_up: asked while waiting.

    Raises Cancelled where that says so, AttnbenchError where there is no folder of temporary files that can be written.
    """
    import fcntl  # here: doctor reads this module, also where no measurement is possible

    names = {"": fcntl.LOCK_SH if shared or gpu is not None else fcntl.LOCK_EX}
    if gpu is not None:
        names[f"-gpu-{re.sub('[^A-Za-z0-9]', '_', gpu)}"] = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with ExitStack() as held:
        try:
            for name, how in names.items():
                held.enter_context(_locked(name, how, given_up))
        except OSError as error:
            raise AttnbenchError(f"no temporary file can be written ({error}); set TMPDIR to a folder that can be written") from error
        yield


@contextmanager
def _locked(name: str, how: int, given_up: Callable[[], bool]) -> Iterator[None]:
    """Context manager: holds one lock, by two files: that of the turn is held on the way to the other alone.

    The system gives both back when a process dies, however it does.
    """
    import fcntl

    folder, user = Path(tempfile.gettempdir()), os.getuid()
    with (folder / f"attnbench-measuring-{user}{name}.lock").open("a+b") as measuring:
        with (folder / f"attnbench-turn-{user}{name}.lock").open("a+b") as turn:
            _wait(turn, fcntl.LOCK_EX, given_up)
            _wait(measuring, how, given_up)
            fcntl.flock(turn, fcntl.LOCK_UN)
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
