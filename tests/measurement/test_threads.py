"""Which threads may be there when a call has returned: those that wait for torch's compiler, known by the code that they run."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import torch
from tqdm import tqdm
from tqdm._monitor import TMonitor

from attnbench.measurement.threads import left_at_work

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


@pytest.mark.filterwarnings("ignore")  # of torch about itself
@pytest.mark.long
def test_compiling_leaves_no_thread_at_work() -> None:
    known = set(threading.enumerate())
    compiled = torch.compile(lambda x: (x + 1).relu().sum())
    assert compiled(torch.ones(3, 5)) == 30.0
    assert not settled(known, expected=False)
