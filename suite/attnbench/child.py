"""A job in a process of its own, a cell or a check, with limits of time and memory, that dies with its parent."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, Literal, Protocol

import psutil

from attnbench.errors import Unavailable, Unsupported, is_out_of_memory
from attnbench.spec import Spec

Start = Literal["forkserver", "fork", "spawn"]
Stage = Callable[[str], None]


@dataclass(frozen=True)
class Limits:
    """timeout_s: wall clock of the whole job. memory_share: of the machine's memory, or of the GPU's, that it may allocate."""

    timeout_s: float = 600.0
    memory_share: float = 0.75


@dataclass
class Result:
    """How a job's process ended. status is a Record's; value, what the job returned, is None unless it is "ok"."""

    status: str
    stage: str
    reason: str | None = None
    value: Any = None


class Work(Protocol):
    """A job that can be sent to a child. preload: modules that a fork server should import before it forks."""

    @property
    def device(self) -> str: ...
    @property
    def threads(self) -> int: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def preload(self) -> tuple[str, ...]: ...
    def work(self, stage: Stage) -> Any:
        """Do it, in the child. `stage` is told what is going on, so that a job that is killed can say where it was."""


@dataclass(frozen=True)
class Job:
    """A cell: a spec, and where its variant and task are loaded from, a name or a path, which never enters a record."""

    spec: Spec
    variant_source: str
    task_source: str | None
    threads: int
    limits: Limits
    preload: tuple[str, ...] = ()

    @property
    def device(self) -> str:
        return self.spec.device

    def work(self, stage: Stage) -> Any:
        """The cell's Measurement."""
        from attnbench.cell import measure_cell

        return measure_cell(self.spec, self.variant_source, self.task_source, stage)


def run_in_child(job: Work, start: Start, watch: Stage = lambda stage: None) -> Result:
    """Run a job in a new process and wait for it, for its death, or for its time to be over. `watch` is told of every stage.

    start: "forkserver" forks a clean process that holds torch already (the default); "fork" this very process, for a caller that has
    imported torch and computed nothing; "spawn" starts from nothing, which CUDA needs.
    """
    context = _context(start, job.preload)
    receiving, sending = context.Pipe(duplex=False)
    lifeline, held = context.Pipe(duplex=False)  # the parent alone holds the other end, until it dies
    with tempfile.NamedTemporaryFile(prefix="attnbench-") as output:
        process: Any = context.Process(target=_main, args=(job, sending, lifeline, held, output.name))  # type: ignore[attr-defined]
        process.start()
        sending.close()
        lifeline.close()
        try:
            result = _wait(process, receiving, job.limits, watch)
        finally:
            kill_group(process)
            receiving.close()
            held.close()
        if result.status == "error":
            result.reason = _with_output(result.reason, output)
        return result


def _context(start: Start, preload: tuple[str, ...]) -> BaseContext:
    context = get_context(start)
    if start == "forkserver":
        context.set_forkserver_preload(["__main__", "attnbench.preload", *preload])
    return context


def _wait(process: Any, receiving: Any, limits: Limits, watch: Stage) -> Result:
    deadline = time.monotonic() + limits.timeout_s
    stage = "start"
    while True:
        ready = connection.wait([receiving, process.sentinel], timeout=max(0.0, deadline - time.monotonic()))
        if not ready:
            return Result("timeout", stage, f"killed after {limits.timeout_s:g} s")
        if receiving in ready:
            try:
                kind, content = receiving.recv()
            except EOFError:
                process.join()
                return _died(process.exitcode, stage)
            if kind == "stage":
                stage = content
                watch(stage)
            else:
                process.join(timeout=5.0)
                assert isinstance(content, Result)
                return content
        else:
            process.join()
            return _died(process.exitcode, stage)


def _died(exitcode: int | None, stage: str) -> Result:
    if exitcode == -signal.SIGKILL:
        return Result("oom", stage, "killed by SIGKILL from outside: the system ran out of memory, most likely")
    if exitcode is not None and exitcode < 0:
        return Result("error", stage, f"died of {signal.Signals(-exitcode).name}")
    return Result("error", stage, f"ended with exit code {exitcode} and no result")


def kill_group(process: Any) -> None:
    """Kill a job's process and everything it started; it leads a process group of its own."""
    if process.pid is None:
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()  # gone already, or killed before it led its group
    process.join()


def _with_output(reason: str | None, output: Any) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - 2000))
    printed = output.read().decode("utf-8", errors="replace").strip()
    lines = [line for line in printed.splitlines() if not line.startswith("USDT:")]
    return "\n".join([*([reason] if reason else []), *lines[-15:]])


def _main(job: Work, sending: Any, lifeline: Any, held: Any, output: str) -> None:
    """The child's whole life."""
    os.setsid()
    held.close()
    _die_with_parent(lifeline.fileno())
    descriptor = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    stage = "start"

    def tell(name: str) -> None:
        nonlocal stage
        stage = name
        sending.send(("stage", name))

    try:
        result = Result("ok", "done", None, _work(job, tell))
    except BaseException as error:
        status, reason = _classify(error)
        if status == "error":
            print(traceback.format_exc(), file=sys.stderr, flush=True)
        result = Result(status, stage, reason)
    sending.send(("result", result))


def _work(job: Work, tell: Stage) -> Any:
    import torch

    torch.set_num_threads(job.threads)
    if job.device == "cpu":
        _limit_address_space(int(psutil.virtual_memory().total * job.limits.memory_share))
    elif torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(job.limits.memory_share)
    return job.work(tell)


def _classify(error: BaseException) -> tuple[str, str]:
    from attnbench.verify import Incorrect

    message = f"{type(error).__name__}: {error}".strip()
    if isinstance(error, Unsupported):
        return "skipped", str(error)
    if isinstance(error, (Unavailable, ConnectionError)):
        return "unavailable", str(error)
    if isinstance(error, Incorrect):
        return "incorrect", str(error)
    if is_out_of_memory(error):
        return "oom", message.splitlines()[0][:300]
    return "error", message[:500]


def _limit_address_space(budget: int) -> None:
    """Cap this process at what it holds now plus the budget; what exceeds it fails as an allocation, not as a kill."""
    import resource

    statm = Path("/proc/self/statm")
    if statm.is_file():
        held = int(statm.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (held + budget, held + budget))


def _die_with_parent(lifeline: int) -> None:
    """Have Linux kill this process's group when the other end of the pipe closes, as it does when the parent is killed.

    PR_SET_PDEATHSIG would watch the fork server, which outlives the parent for as long as one of its children runs.
    """
    if sys.platform == "linux":
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC)
        if connection.wait([lifeline], timeout=0):  # it closed before the kernel was asked to watch
            os.killpg(0, signal.SIGKILL)
