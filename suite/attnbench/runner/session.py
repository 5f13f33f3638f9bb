"""Measures one cell in a child process with limits, if the gate lets it through, and makes its record."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shlex
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from statistics import median
from types import MappingProxyType

import psutil

from attnbench import registry
from attnbench.measurement.cell_result import Measurement
from attnbench.runner import here
from attnbench.runner.cell import Cell
from attnbench.runner.jobs import CellJob, Limits, Result
from attnbench.runner.limits import memory_budget_bytes
from attnbench.runner.load import Window
from attnbench.runner.lock import measurement_lock
from attnbench.runner.parent import Start, Stop, run_in_child
from attnbench.runner.plausibility import clocks_disagree, too_fast
from attnbench.runner.quiet import Quiet
from attnbench.runner.roofline import Roof
from attnbench.spec import protocol
from attnbench.spec.axes import Spec
from attnbench.store import environment, hardware
from attnbench.store.disturbed import disturbance
from attnbench.store.facts import APART, DRIFT_BASELINE, TIMING, fitting
from attnbench.store.peaks import Peaks
from attnbench.store.probe import fact
from attnbench.store.ran_on import ran_on
from attnbench.store.record import Record, why_unreadable

_IMPORTED = time.time()  # about when this process began
RESUMED = ("timeout", "oom")  # ends of a training run after which its checkpoint stays, for a run with wider limits to go on


@dataclasses.dataclass(frozen=True)
class Session:
    """What the cells of one run share.

    Its name, the limits, how a child starts, the roofline of its times, if any, the folder of checkpoints, if any, how it waits
    for a quiet machine, and whether it was told to measure on a busy one. gpu: the one that what is timed has to itself in place of the
    machine, where cells run on several.
    """

    name: str
    limits: Limits = dataclasses.field(default_factory=Limits)
    start: Start = "forkserver"
    roof: Roof | None = None
    checkpoints: Path | None = None
    quiet: Quiet = dataclasses.field(default_factory=Quiet)
    busy_allowed: bool = False
    gpu: str | None = None

    def checkpoint(self, cell: Cell) -> Path | None:
        """The file that keeps a training run's state until its record is made: one for each number of threads and GPU, which change it."""
        if self.checkpoints is None or cell.spec.is_timed:
            return None
        part = ran_on(cell.spec.device, here.facts(cell.spec))
        digest = hashlib.sha256(f"{part.threads} {part.gpu}".encode()).hexdigest()[:6]
        return self.checkpoints / f"{cell.spec.key()}-{cell.fingerprint}-{digest}.pt"


def run(cell: Cell, session: Session, stop: Stop | None = None) -> Record:
    """Measure a cell in a child process, if it is not refused.

    A failure is a status of the record, never an exception here; one whose times cannot be true is "incorrect" at the stage "judge".

    stop: ends a cell that is not timed from another thread.
    """
    if cell.refused is not None:
        why = Result(cell.refused.status, cell.refused.stage, cell.refused.reason)
        return _record(cell, session, why, datetime.now(UTC), 0.0, here.facts(cell.spec))
    return _timed(cell, session) if cell.is_timed else _trained(cell, session, stop)


def _timed(cell: Cell, session: Session) -> Record:
    """The record of a cell whose times count: alone on this machine, and compared with what that can do at most."""
    session.quiet.wait()
    facts = _facts(cell, session)  # asked first: no question of them can lose what was measured
    peaks = session.roof.of(cell.spec.device) if session.roof else None
    if peaks is not None and peaks.anchor_s:
        facts[DRIFT_BASELINE] = median(peaks.anchor_s)
    with measurement_lock(gpu=session.gpu):
        run = _Run(cell, session, None)
        if _why_no_clock(run.result):  # this process may have been held up: two disagreements are no accident
            run.again()
    result = run.result
    if isinstance(result.value, Measurement):
        result = _judged(cell, result, session.roof, peaks)
    record = _record(cell, session, result, run.began_at, run.duration_s, {**facts, **run.facts})
    if disturbance(record):
        session.quiet.look_again()
    return record


def _trained(cell: Cell, session: Session, stop: Stop | None) -> Record:
    """The record of a training run, beside which others may run: its accuracy counts, and no time does."""
    facts, checkpoint = _facts(cell, session), session.checkpoint(cell)
    with measurement_lock(session.limits.jobs, stop.is_set if stop else lambda: False, session.gpu):
        run = _Run(cell, session, checkpoint, stop)
    result = run.result
    if checkpoint is not None and result.status not in RESUMED:
        with suppress(OSError):  # what may not be removed is only in the way
            for done in checkpoint.parent.glob(f"{cell.spec.key()}-*.pt"):  # its own, and those of sources that have changed since
                done.unlink(missing_ok=True)
    return _record(cell, session, result, run.began_at, run.duration_s, {**facts, **run.facts})


class _Run:
    """A cell in its process, under the lock: the result, when it began, the seconds that it took, and what of the load is known."""

    def __init__(self, cell: Cell, session: Session, checkpoint: Path | None, stop: Stop | None = None) -> None:
        self._began = time.monotonic()
        self.began_at = datetime.now(UTC)
        self._load_average = hardware.load_average()
        self._job = CellJob(
            cell.spec, cell.variant_source, cell.task_source, here.threads_of(cell.spec), session.limits, checkpoint=checkpoint
        )
        # A fork must come before CUDA: the fork server never uses it (preload.py), but asv's process may have.
        self._start: Start = "spawn" if cell.spec.device == "cuda" and session.start == "fork" else session.start
        self._stop = stop
        self.again()

    def again(self) -> None:
        window = Window()
        watch = window.watch if self._job.spec.is_timed else _look_away
        self.result = run_in_child(self._job, self._start, watch, self._stop)
        self.facts: dict[str, object] = {"load_average": self._load_average, **window.facts()}
        self.duration_s = round(time.monotonic() - self._began, 3)


def _look_away(stage: str) -> None:
    """What is used of the processors while no time counts is of no interest."""


def _facts(cell: Cell, session: Session) -> dict[str, object]:
    facts = here.facts(cell.spec)
    return {**facts, "memory_budget_bytes": memory_budget_bytes(session.limits)} if cell.spec.device == "cpu" else facts


def _judged(cell: Cell, result: Result, roof: Roof | None, peaks: Peaks | None) -> Result:
    """The result, or an incorrect one whose numbers cannot be true; before a time is called impossible the peaks are measured once more."""
    spec: Spec = cell.spec
    measured: Measurement = result.value
    why = _why_no_clock(result)
    if why is None and roof is not None and peaks is not None:
        declared = fact(lambda: float(registry.field("variants", cell.variant_source, "time_exponent"))) or 0.0
        reads_qk = fact(lambda: bool(registry.field("variants", cell.variant_source, "reads_qk", default=True))) is not False
        why = too_fast(spec, measured, peaks, declared, reads_qk)
        better = None if why is None else roof.measure_again(spec.device)
        why = why if better is None else too_fast(spec, measured, better, declared, reads_qk)
    return result if why is None else Result("incorrect", "judge", why, stages_s=result.stages_s)


def _why_no_clock(result: Result) -> str | None:
    if not isinstance(result.value, Measurement):
        return None
    return clocks_disagree(result.value, result.stages_s.get("time", 0.0))


def _record(
    cell: Cell,
    session: Session,
    result: Result,
    began_at: datetime,
    duration_s: float,
    facts: Mapping[str, object],
    load: Mapping[str, object] = MappingProxyType({}),
) -> Record:
    """The record of a cell. load: what others used of the processors, which no fact from the cell's own process takes the place of.

    One that did not succeed names the rule of timing too: it stands in the tables of those that did, and not among older records.
    """
    measured: Measurement = result.value or Measurement()
    tried = {"rates_tried": list(cell.rates_tried)} if cell.rates_tried else {}
    rule = {"timing": TIMING} if cell.spec.is_timed else {"timing": APART, "protocol": protocol.load(cell.spec.protocol).fingerprint()}
    asked = {**dataclasses.asdict(session.limits), **({"busy_allowed": True} if session.busy_allowed else {})}
    made = Record(
        id=cell.spec.key(),
        fingerprint=cell.fingerprint,
        machine=environment.machine_name(),
        session=session.name,
        spec=cell.spec,
        status=result.status,  # type: ignore[arg-type]
        reason=environment.anonymous(result.reason) if result.reason else None,
        stage=None if result.status == "ok" else result.stage,
        measurements={**measured.samples, **tried},
        curve=measured.curve,
        clocks=measured.clocks,
        stages_s=result.stages_s,
        environment=fitting({**rule, **facts, **measured.facts, **asked, **load}),
        started_at=began_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        duration_s=duration_s,
        command=_command(cell),
    )
    why = why_unreadable(made)
    if why is None:
        return made
    reason = environment.anonymous(f"no record can hold what it gave: {why}")
    return dataclasses.replace(made, status="error", stage="store", reason=reason, measurements={}, curve={}, clocks={})


def _command(cell: Cell) -> str:
    """The command that measures this one cell again; a variant or task from a file is named by the file, without its folder."""
    command = f"attnbench run --rerun --cell {shlex.quote(cell.spec.compact())}"
    for option, source in (("--variant", cell.variant_source), ("--task", cell.task_source)):
        if source is not None and registry.is_path(source):
            command += f" {option} {shlex.quote(Path(source).name)}"
    return command


@cache
def session_name(of_parent: bool = False) -> str:
    """A name for this process's run, from when it began: all cells of one command share it.

    asv starts a process for each benchmark; there the session is the parent's, which lives as long as asv's run of one commit.
    """
    pid = os.getppid() if of_parent else os.getpid()
    created = fact(lambda: psutil.Process(pid).create_time()) or _IMPORTED
    began = datetime.fromtimestamp(created, UTC)
    digest = hashlib.sha256(f"{pid} {created}".encode()).hexdigest()[:6]
    return f"{began:%Y%m%dT%H%M%SZ}-{digest}"
