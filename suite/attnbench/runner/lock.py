"""The lock of this machine: what is timed has the machine to itself, and what is not timed shares it with a few others that are not."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from attnbench.errors import AttnbenchError

SOON_S = 0.2  # after which a wait is told
LOOK_S = 0.05  # between two looks at a lock that another process holds


class Cancelled(AttnbenchError):
    """Raised where a wait for the lock was given up."""


@contextmanager
def measurement_lock(slots: int | None = None, given_up: Callable[[], bool] = lambda: False, gpu: str | None = None) -> Iterator[None]:
    """Context manager: holds the lock that every attnbench of this user takes while it measures.

    Its holder is alone on the machine, unless all hold it shared, as cells do whose times do not count. Who waits to be alone comes before
    all who ask later, so that a machine on which one training follows another is free at the end of those that run.

    slots: holds it shared, with so many at once, of whatever command, as each has that part of the memory. gpu: with a name, the holder is
    alone on that GPU, or shares it, and the machine is shared with those on its others. given_up: asked while waiting.

    Raises Cancelled where that says so, AttnbenchError where there is no folder of temporary files that can be written.
    """
    import fcntl  # here: doctor reads this module, also where no measurement is possible

    how = fcntl.LOCK_EX if slots is None else fcntl.LOCK_SH
    of_gpu = "" if gpu is None else f"-gpu-{re.sub('[^A-Za-z0-9]', '_', gpu)}"
    names = {"": fcntl.LOCK_SH, of_gpu: how} if of_gpu else {"": how}
    with ExitStack() as held:
        try:
            if slots is not None:  # first: who waits for a slot is in nobody's way
                held.enter_context(_slot([f"slot-{number}{of_gpu}" for number in range(slots)], given_up))
            for name, kind in names.items():
                held.enter_context(_locked(name, kind, given_up))
        except OSError as error:
            raise AttnbenchError(f"no temporary file can be written ({error}); set TMPDIR to a folder that can be written") from error
        yield


@contextmanager
def _locked(name: str, how: int, given_up: Callable[[], bool]) -> Iterator[None]:
    """Context manager: holds one lock, by two files: that of the turn is held on the way to the other alone.

    The system gives both back when a process dies, however it does.
    """
    import fcntl

    with _opened(f"measuring-{{}}{name}") as measuring:
        with _opened(f"turn-{{}}{name}") as turn:
            _wait([turn], fcntl.LOCK_EX, given_up)
            _wait([measuring], how, given_up)
            fcntl.flock(turn, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(measuring, fcntl.LOCK_UN)  # a process that was forked meanwhile has the file open too


@contextmanager
def _slot(names: Sequence[str], given_up: Callable[[], bool]) -> Iterator[None]:
    """Context manager: holds one of some locks, whichever is free first."""
    import fcntl

    with ExitStack() as opened:
        mine = _wait([opened.enter_context(_opened(f"{name}-{{}}")) for name in names], fcntl.LOCK_EX, given_up)
        try:
            yield
        finally:
            fcntl.flock(mine, fcntl.LOCK_UN)


def _opened(name: str) -> IO[bytes]:
    """The file of a lock of this user."""
    return (Path(tempfile.gettempdir()) / f"attnbench-{name.format(os.getuid())}.lock").open("a+b")


def _wait(files: Sequence[IO[bytes]], how: int, given_up: Callable[[], bool]) -> IO[bytes]:
    """Lock the first of some files that no other process holds, and give it; says so where that takes a while."""
    import fcntl

    began, told = time.monotonic(), False
    while True:
        for file in files:
            try:
                fcntl.flock(file, how | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            return file
        if given_up():
            raise Cancelled("the wait for another attnbench was given up")
        if not told and time.monotonic() - began > SOON_S:
            told = True
            print("waiting for another attnbench that measures or trains on this machine ...", file=sys.stderr, flush=True)
        time.sleep(LOOK_S)
