"""Runs a job, such as a cell or a check, in a process of its own, which has limits of time and memory and dies with its parent."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import connection, get_context, resource_tracker
from multiprocessing.context import BaseContext
from typing import Any, Literal

from attnbench.errors import AttnbenchError, text_of
from attnbench.measurement.cell_result import Stage
from attnbench.runner.can_measure import require_measuring
from attnbench.runner.child import LONGEST_REASON, run_job
from attnbench.runner.jobs import Job, Limits, Result
from attnbench.runner.processes import ASKING, DYING_S, exitcode, join, kill, let_end

Start = Literal["forkserver", "fork", "spawn"]


class Stopped(AttnbenchError):
    """Raised where a job was ended because its run was stopped."""


class Stop:
    """Ends jobs that other threads wait for: from `set` on, every `run_in_child` that was given it kills its job and raises Stopped."""

    def __init__(self) -> None:
        self.told, self._tells = connection.Pipe(duplex=False)
        self._is_set = False

    def set(self) -> None:
        self._is_set = True
        self._tells.send_bytes(b"stop")  # which nobody reads, so that every thread that waits for it sees it

    def is_set(self) -> bool:
        return self._is_set


def run_in_child(job: Job, start: Start, watch: Stage = lambda stage: None, stop: Stop | None = None) -> Result:
    """Run a job in a new process and wait until it ends, dies or has used up its time.

    watch: called with every stage that begins; the job goes on when it returns, so that it can look at the system undisturbed.
    stop: ends the job from another thread; without one it ends with an exception in this thread, such as KeyboardInterrupt.

    start: "forkserver" forks a clean process that holds torch already (the default); "fork" this very process, for a caller that has
    imported torch and computed nothing; "spawn" starts from nothing, which CUDA needs where this process may have used it.

    A process that cannot be started, for want of memory, processes or a temporary folder, is an error at the stage "start".

    Raises CannotMeasure on a system that cannot run a job so, Stopped where it was stopped.
    """
    require_measuring()
    try:
        return _run(job, start, watch, stop)
    except OSError as error:
        return Result("error", "start", f"{type(error).__name__}: {text_of(error)[:LONGEST_REASON]}")


def _run(job: Job, start: Start, watch: Stage, stop: Stop | None) -> Result:
    context = _context(start, job.preload)
    receiving, sending = context.Pipe()
    lifeline, held = context.Pipe(duplex=False)  # the parent alone holds the other end, until it dies
    with tempfile.NamedTemporaryFile(prefix="attnbench-") as output:
        process: Any = context.Process(target=run_job, args=(job, sending, receiving, lifeline, held, output.name))  # type: ignore[attr-defined]
        try:
            with ASKING, _ctrl_c_later(start):
                process.start()
            sending.close()
            lifeline.close()
            result = _wait(process, receiving, job.limits, watch, stop)
        finally:
            kill(process)
            receiving.close()
            held.close()
        if result.status == "error":
            result.reason = _with_output(result.reason, output)
        return result


def _context(start: Start, preload: tuple[str, ...]) -> BaseContext:
    context = get_context(start)
    if start == "forkserver":
        context.set_forkserver_preload(["__main__", "attnbench.measurement.preload", *preload])
    return context


def _wait(process: Any, receiving: Any, limits: Limits, watch: Stage, stop: Stop | None) -> Result:
    stages = _StageTimer(watch)
    result = _receive_result(process, receiving, limits, stages, stop)
    stages.enter("")
    result.stages_s = stages.seconds
    return result


class _StageTimer:
    """The stages that a job reports, and the seconds that each took by the parent's clock, without those that watching them took."""

    def __init__(self, watch: Stage) -> None:
        self.current, self.seconds = "start", dict[str, float]()
        self._watch, self._since = watch, time.monotonic()

    def enter(self, stage: str) -> None:
        now = time.monotonic()
        self.seconds[self.current] = round(self.seconds.get(self.current, 0.0) + now - self._since, 4)
        self.current = stage
        if stage:
            self._watch(stage)
        self._since = time.monotonic()


def _receive_result(process: Any, receiving: Any, limits: Limits, stages: _StageTimer, stop: Stop | None) -> Result:
    """The result that the job sends, or one that says how its process died or that its time was over."""
    deadline = time.monotonic() + limits.timeout_s
    ends = [receiving, process.sentinel, *([stop.told] if stop else [])]
    while True:
        ready = connection.wait(ends, timeout=max(0.0, deadline - time.monotonic()))
        if stop is not None and stop.told in ready:
            raise Stopped("the run was stopped")
        if not ready:
            return Result("timeout", stages.current, f"killed after {limits.timeout_s:g} s")
        if receiving not in ready:
            return _died(process, stages.current)
        try:
            kind, content = receiving.recv()
        except (EOFError, OSError):
            return _died(process, stages.current)
        except Exception as error:  # a mechanism wrote into the pipe, or gave what cannot be unpickled here
            return Result("error", stages.current, f"sent what cannot be read: {type(error).__name__}: {text_of(error)[:LONGEST_REASON]}")
        if kind == "result":
            assert isinstance(content, Result)
            stages.enter("end")
            let_end(process, receiving)
            return content
        stages.enter(content)
        with suppress(OSError):  # it has died, as the next message will say
            receiving.send(None)


def _died(process: Any, stage: str) -> Result:
    """The result of a job that sent none: its process died, or closed its pipe and may live on."""
    join(process, DYING_S)
    code = exitcode(process)
    if code is None:
        return Result("error", stage, "closed its pipe to the harness and gave no result")
    if code == -signal.SIGKILL:
        return Result("oom", stage, "killed by SIGKILL from outside: the system ran out of memory, most likely")
    if code < 0:
        return Result("error", stage, f"died of {signal.Signals(-code).name}")
    return Result("error", stage, f"ended with exit code {code} and no result")


@contextmanager
def _ctrl_c_later(start: Start) -> Iterator[None]:
    """Context manager: delays SIGINT. Processes started meanwhile never get it: a terminal sends Ctrl-C to all, and this one handles it.

    A new process inherits the signal mask, but the mask is of this thread alone: where a library has threads of its own, as numpy's does,
    one of them takes the signal, and Python calls the handler here all the same, between two steps of starting a process. So the handler
    is delayed as well.
    """
    if start != "fork":
        resource_tracker.ensure_running()  # Python 3.11 starts it with the first process, and lets SIGINT through again when it has
    answered_here = threading.current_thread() is threading.main_thread()
    came: list[int] = []
    answer = signal.signal(signal.SIGINT, lambda number, frame: came.append(number)) if answered_here else None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if answered_here:
            signal.signal(signal.SIGINT, answer)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if came:
            signal.raise_signal(signal.SIGINT)


def _with_output(reason: str | None, output: Any) -> str:
    """A reason, and below it the last of what the job printed."""
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - 2000))
    printed = output.read().decode("utf-8", errors="replace").strip()
    lines = [line for line in printed.splitlines() if not line.startswith("USDT:")]
    return "\n".join([*([reason] if reason else []), *lines[-20:]])
