"""Runs the harness under pytest-benchmark: a kernel cell timed by benchmark.pedantic, verified, and described for a record.

For the developer's loop: one process, no anchor, no memory. What `attnbench run` measures of a cell can be compared with other cells; this
compares an edit with the code before it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

import torch
from torch import Tensor

from attnbench.errors import Unavailable
from attnbench.measurement.clock import seconds, warm_up
from attnbench.measurement.guard import Guard
from attnbench.measurement.timed import VerifiedTrial
from attnbench.measurement.tracks.call import KernelTrial
from attnbench.runner.cell import Cell, resolve
from attnbench.runner.lock import measurement_lock
from attnbench.spec.axes import Spec
from attnbench.store import environment, hardware
from attnbench.store.facts import ALONE
from attnbench.store.pytest_benchmark_files import EXTRA, Facts

BUDGET_S = 0.5  # of timed calls
FEWEST, MOST = 8, 200  # rounds; the range of six holds their median in 95 % of cases, and two may be lost to the warming of caches


class Pedantic(Protocol):
    """The part of pytest-benchmark's fixture that is used here."""

    extra_info: dict[str, Any]

    def pedantic(self, target: Callable[[], object], *, setup: Callable[[], None], teardown: Callable[[], None], rounds: int) -> object:
        """Call setup, target and teardown in turn, and time target."""


def benchmark_kernel(benchmark: Pedantic, spec: Spec) -> None:
    """Time a kernel cell, forward or training, on the CPU: new inputs before every call, the results verified when all are done.

    Only a benchmark whose results are correct is given the facts for a record of it.

    Raises Incorrect when they are not, Unavailable or Unsupported when the mechanism cannot be imported or built here or has no such form.
    """
    cell = resolve(spec)
    if cell.refused is not None:
        raise Unavailable(cell.refused.reason)
    torch.set_num_threads(environment.physical_cores())
    with measurement_lock():
        load = hardware.load_average()
        began_at, began = datetime.now(UTC), time.monotonic()
        guard = Guard()
        verified = VerifiedTrial(KernelTrial(cell.spec, cell.variant_source), guard)
        warm_up(verified.call, spec.device)
        rounds = min(MOST, max(FEWEST, round(BUDGET_S / seconds(verified.call, spec.device))))
        last: list[Tensor] = []  # pedantic shows no result to teardown

        def call() -> None:
            last.append(verified.trial.call(0))

        benchmark.pedantic(call, setup=verified.prepare, teardown=lambda: verified.inspect(last.pop()), rounds=rounds)
        if last:  # --benchmark-disable calls once, and no teardown
            verified.inspect(last.pop())
        guard.check_idle()
        verified.verify()
        guard.check_seal()
        duration_s = round(time.monotonic() - began, 3)
    benchmark.extra_info[EXTRA] = _facts(cell, began_at, duration_s, load).as_json()


def _facts(cell: Cell, began_at: datetime, duration_s: float, load: float | None) -> Facts:
    more = {"timing": ALONE, "threads": environment.physical_cores(), "load_average": load}
    versions = {"pytest_benchmark": environment.version_of("pytest-benchmark")}
    return Facts(
        spec=cell.spec,
        fingerprint=cell.fingerprint,
        machine=environment.machine_name(),
        environment={**environment.describe(), **more, **versions},
        started_at=began_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        duration_s=duration_s,
    )
