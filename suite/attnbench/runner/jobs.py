"""The jobs that a child process is sent (a cell, a check of a variant, the peaks of this machine), and the result that it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from attnbench.errors import BadInput, Unavailable
from attnbench.measurement.cell_result import Stage
from attnbench.spec.axes import Spec
from attnbench.store.peaks import Peaks
from attnbench.store.report import Report


@dataclass(frozen=True)
class Limits:
    """Limits of a job.

    timeout_s: wall clock of all of it. memory_share: of the machine's memory, or of the GPU's, that it may allocate. jobs: how many such
    may run side by side.
    """

    timeout_s: float = 600.0
    memory_share: float = 0.75
    jobs: int = 1

    def shared_by(self, jobs: int) -> Limits:
        """The limits of each of several jobs that run side by side: its part of the memory."""
        return replace(self, memory_share=self.memory_share / jobs, jobs=self.jobs * jobs)

    def alone(self) -> Limits:
        """The limits of a job beside which nothing runs."""
        return replace(self, memory_share=self.memory_share * self.jobs, jobs=1)


@dataclass
class Result:
    """How a job's process ended. status is a Record's; value, what the job returned, is None unless it is "ok".

    stages_s: seconds between one stage's report and the next, by the parent's clock.
    """

    status: str
    stage: str
    reason: str | None = None
    value: Any = None
    stages_s: dict[str, float] = field(default_factory=dict)


class Job(Protocol):
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
        """Do the job, in the child. `stage` is called with the name of what begins, so that it is known where a killed job was."""


@dataclass(frozen=True)
class CellJob:
    """A cell: a spec, and where its variant and task are loaded from, a name or a path, which never enters a record."""

    spec: Spec
    variant_source: str
    task_source: str | None
    threads: int
    limits: Limits
    preload: tuple[str, ...] = ()
    checkpoint: Path | None = None  # the file that keeps a training run's state

    @property
    def device(self) -> str:
        return self.spec.device

    def work(self, stage: Stage) -> Any:
        """The cell's Measurement."""
        from attnbench.measurement.tracks import measure_cell

        return measure_cell(self.spec, self.variant_source, self.task_source, stage, self.checkpoint)


@dataclass(frozen=True)
class CheckJob:
    """A check of a variant, by name or path, for a child process. full: with exponents and torch.compile, not the subset alone."""

    source: str
    params: Mapping[str, Any]
    device: str
    full: bool
    limits: Limits
    threads: int = 1

    @property
    def preload(self) -> tuple[str, ...]:
        return ("attnbench.measurement.checks.preload",) if self.full else ()

    def work(self, stage: Callable[[str], None]) -> Report | BadInput:
        """The report, or why there is nothing to check."""
        from attnbench.measurement.allocator import keep_freed_memory
        from attnbench.measurement.checks import check

        keep_freed_memory()
        try:
            return check(self.source, self.params, self.device, self.full, stage)
        except BadInput as error:
            return error


@dataclass(frozen=True)
class PeaksJob:
    """A measurement of the peaks of a device, for a child process."""

    device: str
    threads: int
    limits: Limits
    preload: tuple[str, ...] = ()

    def work(self, stage: Callable[[str], None]) -> Peaks:
        """The peaks. Raises Unavailable when there is no such device."""
        import torch

        from attnbench.measurement import clock
        from attnbench.measurement.allocator import keep_freed_memory
        from attnbench.measurement.drift_anchor import drift_anchor
        from attnbench.measurement.peaks import measure_peaks

        if self.device == "cuda" and not torch.cuda.is_available():
            raise Unavailable("torch sees no CUDA device here; use --device cpu, or install a CUDA build of torch")

        keep_freed_memory()

        def anchor() -> list[float]:
            call = drift_anchor(self.device)
            clock.warm_up(call, self.device)
            return clock.wall_clock_s(call, self.device)

        return measure_peaks(self.device, self.threads, anchor, stage)
