"""A process that keeps one processor busy, and what it got of it: what a neighbour of a measurement does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

SPIN = "print(flush=True)\nwhile True: pass"


class Busy:
    """A process that computes until it is killed."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", SPIN], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it computes from here on

    def used_s(self) -> float:
        """Seconds of processor time that it has had."""
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def busy_process() -> Iterator[Busy]:
    """Context manager: a processor is busy meanwhile."""
    busy = Busy()
    try:
        yield busy
    finally:
        busy.stop()
