"""What a job is to the process that does it and to the one that waits for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

Stage = Callable[[str], None]  # is told what is going on, so that a job which is killed can say where it was


@dataclass(frozen=True)
class Limits:
    """timeout_s: wall clock of the whole job. memory_share: of the machine's memory, or of the GPU's, that it may allocate."""

    timeout_s: float = 600.0
    memory_share: float = 0.75


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
