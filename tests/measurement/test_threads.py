"""Which threads may be there when a call has returned: idle ones, and of Python's those that wait for torch's compiler, known by code."""

from __future__ import annotations

import _thread
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from tqdm import tqdm
from tqdm._monitor import TMonitor

from attnbench.errors import Incorrect
from attnbench.measurement.guard import Guard
from attnbench.measurement.threads import _state, left_at_work, others_runnable

AWAIT_S = 0.01


def settled(known: set[threading.Thread], expected: bool) -> bool:
    """Whether threads are at work, asked until it is as expected or has stayed otherwise for long."""
    for _ in range(200):
        if bool(left_at_work(known)) == expected:
            return expected
        time.sleep(AWAIT_S)
    return not expected


@contextmanager
def running(thread: threading.Thread, end: threading.Event) -> Iterator[None]:
    thread.daemon = True
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def test_the_monitor_that_torchs_compiler_starts_may_stay() -> None:
    known = set(threading.enumerate())
    monitor = TMonitor(tqdm, 1000.0)
    try:
        assert monitor.is_alive() and monitor not in known
        assert not settled(known, expected=False)
    finally:
        monitor.exit()


def test_a_pool_may_stay_idle_and_not_at_work() -> None:
    known, end = set(threading.enumerate()), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        assert not settled(known, expected=False)
        waiting = pool.submit(end.wait)
        assert settled(known, expected=True)
        end.set()
        waiting.result()
        by_c = pool.submit(time.sleep, 0.5)  # no frame of Python is inside it
        assert settled(known, expected=True)
        by_c.result()
    held = threading.Lock()
    held.acquire()
    pool = ThreadPoolExecutor(1, initializer=held.acquire)
    done = pool.submit(int)
    try:
        assert settled(known, expected=True)
    finally:
        held.release()
        done.result()
        pool.shutdown()


def _cheats(end: threading.Event) -> dict[str, Callable[[], threading.Thread]]:
    class Monitor(TMonitor):
        def __init__(self) -> None:
            threading.Thread.__init__(self, name="tqdm_monitor")

        def run(self) -> None:
            end.wait()

    def disguised() -> threading.Thread:
        thread = threading.Thread(target=lambda: end.wait(), name="InductorSubproc")
        thread._target.__module__ = "torch._inductor.compile_worker.subproc_pool"  # type: ignore[attr-defined]
        thread._target.__qualname__ = "SubprocPool._read_thread"  # type: ignore[attr-defined]
        return thread

    def under_another_name() -> threading.Thread:
        text = compile("def run(): end.wait()", sys.modules["tqdm._monitor"].__file__ or "", "exec")
        space = {"end": end, "__name__": "tqdm._monitor"}
        exec(text, space)
        return threading.Thread(target=space["run"], name="tqdm_monitor")

    return {
        "by its name": lambda: threading.Thread(target=lambda: end.wait(), name="tqdm_monitor"),
        "by its class": Monitor,
        "by the name of its function": disguised,
        "by the name of its file": under_another_name,
        "by having no function of its own": lambda: threading.Thread(target=end.wait, name="ThreadPoolExecutor-0_0"),
        "as a timer": lambda: threading.Timer(1000.0, end.set),
    }


@pytest.mark.parametrize("how", list(_cheats(threading.Event())))
def test_no_other_thread_passes_for_one(how: str) -> None:
    known, end = set(threading.enumerate()), threading.Event()
    thread = _cheats(end)[how]()
    if isinstance(thread, threading.Timer):
        thread.finished = end
    with running(thread, end):
        assert settled(known, expected=True)


@contextmanager
def busy_neighbours() -> Iterator[None]:
    """Context manager: other processes compute meanwhile, four for each processor, so that one thread gets a fifth of one."""
    command = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
    neighbours = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(4 * (os.cpu_count() or 1))]
    try:
        for neighbour in neighbours:
            assert neighbour.stdout is not None and neighbour.stdout.readline()
        yield
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.communicate()


@contextmanager
def spinning() -> Iterator[None]:
    """Context manager: a thread that the module `threading` does not know computes meanwhile, most of the time without Python's lock."""
    going, ended = [True], _thread.allocate_lock()
    ended.acquire()

    def work() -> None:
        while going:
            hashlib.pbkdf2_hmac("sha256", b"", b"", 10_000)
        ended.release()

    _thread.start_new_thread(work, ())
    try:
        yield
    finally:
        going.clear()
        ended.acquire()


@pytest.mark.parametrize("neighbours", [nullcontext, pytest.param(busy_neighbours, marks=pytest.mark.long)], ids=["alone", "among others"])
def test_a_thread_that_goes_on_computing_is_found_however_busy_the_machine_is(neighbours: Callable[[], Any]) -> None:
    guard = Guard()
    with neighbours():
        guard.check_idle()
        with spinning(), pytest.raises(Incorrect, match="goes on computing"):
            guard.check_idle()
        guard.check_idle()


def test_many_threads_that_wait_are_no_work_however_long_it_takes_to_look_at_them() -> None:
    guard, end = Guard(), threading.Event()
    with ExitStack() as waiting:
        for _ in range(300):
            waiting.enter_context(running(threading.Thread(target=end.wait), end))
        guard.check_idle()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system does not tell the states of threads")
def test_a_thread_counts_while_it_runs_and_not_while_it_waits() -> None:
    waiting, end = threading.Thread(target=lambda: end.wait()), threading.Event()
    with running(waiting, end):
        assert any(others_runnable() == 0 for _ in range(200))
        with spinning():
            assert any(others_runnable() == 1 for _ in range(200))


@pytest.mark.parametrize(("stat", "state"), [("17 (python) R 1 2", "R"), ("17 (a) R (b) S 1 2", "S"), (None, ""), ("", "")])
def test_the_state_of_a_thread_follows_its_name(stat: str | None, state: str) -> None:
    assert _state(stat) == state


@pytest.mark.filterwarnings("ignore")  # of torch about itself
@pytest.mark.long
def test_compiling_leaves_no_thread_at_work() -> None:
    known = set(threading.enumerate())
    compiled = torch.compile(lambda x: (x + 1).relu().sum())
    assert compiled(torch.ones(3, 5)) == 30.0
    assert not settled(known, expected=False)
