"""Tells which threads of this process are at work, and which only wait for work of torch's compiler or of a library that it uses.

A Python thread is known by the code that it is in, not by its name, class or target, which anyone can set: the outermost function must be
one of those listed here, and all that this has called must be of the same few modules.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType

from attnbench.store.probe import text_of_file

# Where such a thread begins: module, and function or method; and the attribute of its object that holds unfinished work.
_ROOTS = {
    ("tqdm._monitor", "TMonitor.run"): None,
    ("torch._inductor.compile_worker.subproc_pool", "SubprocPool._read_thread"): "pending_futures",
    ("torch._inductor.compile_worker.timer", "Timer.check"): None,
    ("concurrent.futures.thread", "_worker"): None,
}
_WAITING = (*(module for module, _ in _ROOTS), "threading")
_AT_WORK = ("concurrent.futures.thread", "_WorkItem.run")  # what was handed in runs from here, be it Python's code or not


def left_at_work(known: set[threading.Thread]) -> list[str]:
    """The names of the threads, other than those known, that do not just wait for the compiler.

    A thread that Python did not start, such as autograd's, may run on.
    """
    more = [t for t in threading.enumerate() if t not in known and not isinstance(t, threading._DummyThread)]
    frames = sys._current_frames() if more else {}
    return [t.name for t in more if t.ident is None or not _waits(frames.get(t.ident))]


def others_runnable() -> int:
    """How many other threads of this process run on a processor or wait for one, be they Python's or not; 0 where Linux does not say."""
    own = str(threading.get_native_id())
    states = (text_of_file(task / "stat") for task in Path("/proc/self/task").glob("*") if task.name != own)
    return sum(_state(stat) == "R" for stat in states)


def _state(stat: str | None) -> str:
    """The letter of a thread's state; it follows the name, which is in brackets and may hold any letter. "" for a thread that has ended."""
    return (stat or "").rpartition(")")[2].strip()[:1]


def _waits(innermost: FrameType | None) -> bool:
    """Whether a thread with these frames waits for work of a library that is known here."""
    outermost_first = list(_outwards(innermost))[::-1]
    # A thread begins with frames of `threading`.
    inside = [frame for frame in outermost_first if frame.f_globals is not vars(threading)]
    roots = {_code_of(*place): pending for place, pending in _ROOTS.items()}
    if not inside or inside[0].f_code not in roots:
        return False
    began_with = inside[0].f_locals
    if began_with.get("initializer") is not None:  # of an executor: it may be at that, and not at its queue
        return False
    pending = roots[inside[0].f_code]
    if pending is not None and getattr(began_with.get("self"), pending, True):
        return False
    modules = [id(vars(sys.modules[name])) for name in _WAITING if name in sys.modules]
    return all(id(frame.f_globals) in modules and frame.f_code is not _code_of(*_AT_WORK) for frame in inside)


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _code_of(module: str, path: str) -> CodeType | None:
    """The code of a function or method; None where its module is not loaded, or has none of that name."""
    owner: object = sys.modules.get(module)
    for name in path.split("."):
        owner = None if owner is None else vars(owner).get(name)
    code = getattr(owner, "__code__", None)
    return code if isinstance(code, CodeType) else None
