"""Tells threads that wait for work of torch's compiler, and of the libraries it uses, from threads that a mechanism left behind.

A thread is known by the code that it runs, not by its name, its class or its target, which anyone can set: the outermost function must be
one of those listed here, and every function that this has called one of the same libraries.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from types import CodeType, FrameType

# Where such a thread begins: module, and function or method.
_ROOTS = (
    ("tqdm._monitor", "TMonitor.run"),
    ("torch._inductor.compile_worker.subproc_pool", "SubprocPool._read_thread"),
    ("torch._inductor.compile_worker.timer", "Timer.check"),
    ("concurrent.futures.thread", "_worker"),
    ("concurrent.futures.process", "_ExecutorManagerThread.run"),
    ("multiprocessing.queues", "Queue._feed"),
)
# The modules whose functions such a thread may be in. That of executors runs work that is handed in from a method of its own.
_WAITING = (
    *(module for module, _ in _ROOTS),
    "threading", "queue", "selectors", "weakref", "multiprocessing.connection", "multiprocessing.synchronize", "multiprocessing.context",
)  # fmt: skip
_AT_WORK = (("concurrent.futures.thread", "_WorkItem.run"), ("concurrent.futures.process", "_ExecutorManagerThread.process_result_item"))


def left_behind(known: set[threading.Thread]) -> list[str]:
    """The names of the threads, other than those known, that run Python code and do not just wait for the compiler.

    A thread that Python did not start, such as autograd's, may run on.
    """
    frames = sys._current_frames()
    more = [t for t in threading.enumerate() if t not in known and not isinstance(t, threading._DummyThread)]
    return [t.name for t in more if t.ident is None or not _waits(frames.get(t.ident))]


def _waits(innermost: FrameType | None) -> bool:
    """Whether a thread with these frames waits for work of a library that is known here."""
    frames = list(_outwards(innermost))[::-1]
    inside = [frame for frame in frames if frame.f_globals is not vars(threading)]  # a thread begins with frames of `threading`
    if not inside or inside[0].f_code not in _codes(_ROOTS):
        return False
    if inside[0].f_locals.get("initializer") is not None:  # of an executor: it may be at that, and not at its queue
        return False
    trusted = [id(vars(sys.modules[name])) for name in _WAITING if name in sys.modules]
    working = _codes(_AT_WORK)
    return all(id(frame.f_globals) in trusted and frame.f_code not in working for frame in inside)


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _codes(places: tuple[tuple[str, str], ...]) -> set[CodeType]:
    """The code of functions and methods, by module and name; without those whose module is not loaded, or lacks them."""
    found = set()
    for module, path in places:
        owner: object = sys.modules.get(module)
        for name in path.split("."):
            owner = vars(owner).get(name) if owner is not None else None
        code = getattr(owner, "__code__", None)
        if isinstance(code, CodeType):
            found.add(code)
    return found
