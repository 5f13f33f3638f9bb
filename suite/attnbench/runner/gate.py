"""The gate: a variant that fails a check of the correctness subset is not measured. Reports are kept, a file each."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from attnbench import registry
from attnbench.errors import BadInput, NotImportable
from attnbench.runner.cell import CheckRequest, Refusal
from attnbench.runner.jobs import CheckJob, Limits, Result
from attnbench.runner.lock import measurement_lock
from attnbench.runner.outside import CHECK, outside_finding
from attnbench.runner.parent import Start, Stop, run_in_child
from attnbench.store.files import write_whole
from attnbench.store.report import Report, encode, read


@dataclass
class Gate:
    """The reports in results/checks, and what was found since this process began.

    Only a complete report is kept on the disk: a check that ran out of time or memory, or failed for a cause that may lie outside the
    mechanism, is tried again by the next command.
    """

    results: Path
    _found: dict[str, Result] = field(default_factory=dict)

    def is_settled(self, request: CheckRequest) -> bool:
        """Whether the outcome of a check is known, so that `refusal` can be asked; else `add` is to be called with it."""
        fingerprint = request.fingerprint()
        if fingerprint not in self._found and (known := self.known(request)) is not None:
            self._found[fingerprint] = Result("ok", "done", None, known)
        return fingerprint in self._found

    def add(self, request: CheckRequest, found: Result) -> None:
        """Take note of what a check found, and keep its report if it is complete."""
        self._found[request.fingerprint()] = found
        if isinstance(found.value, Report) and outside_finding(found.value) is None:
            with contextlib.suppress(OSError):  # the record, stored next, will say that the disk is full
                write_whole(self._file(request), encode(found.value))

    def refusal(self, request: CheckRequest) -> Refusal | None:
        """Why the variant must not be measured; None when its checks hold. The check must be settled."""
        found = self._found[request.fingerprint()]
        if found.status != "ok":
            return Refusal(found.status, found.reason or "no reason given", f"{CHECK}: {found.stage}")
        if isinstance(found.value, NotImportable):
            return Refusal(found.value.status, str(found.value), f"{CHECK}: load")
        if isinstance(found.value, BadInput):
            return Refusal("error", str(found.value), CHECK)
        if outside := outside_finding(found.value):
            name, detail = outside
            missing = detail.startswith("it raises ModuleNotFoundError")
            return Refusal("unavailable" if missing else "error", detail, f"{CHECK}: {name}")
        return None if found.value.ok else Refusal("incorrect", _why(found.value), CHECK)

    def known(self, request: CheckRequest) -> Report | None:
        """The stored report of the same sources, parameters and device; None without one that can be read."""
        report = read(self._file(request))
        fits = report is not None and report.fingerprint == request.fingerprint() and outside_finding(report) is None
        return report if fits else None

    def _file(self, request: CheckRequest) -> Path:
        name = re.sub(r"[^A-Za-z0-9._-]", "_", registry.stem(request.source))
        return self.results / "checks" / f"{name}-{request.fingerprint()}.json"


def check(request: CheckRequest, start: Start, limits: Limits, gpu: str | None = None, stop: Stop | None = None) -> Result:
    """Check a variant by the correctness subset, in a child process; the value of the result is a Report or a BadInput.

    Others may run beside it, each with its part of the memory. Where that was not enough the check is made once more, alone: it decides of
    cells that are alone as well. gpu: as of measurement_lock. stop: ends it from another thread.
    """

    def made(limits: Limits) -> Result:
        return run_in_child(CheckJob(request.source, request.params, request.device, full=False, limits=limits), start, stop=stop)

    given_up = stop.is_set if stop else lambda: False
    with measurement_lock(limits.jobs, given_up, gpu):
        found = made(limits)
    if found.status != "oom" or limits.jobs == 1:
        return found
    with measurement_lock(None, given_up, gpu):
        return made(limits.alone())


def _why(report: Report) -> str:
    """The first check that failed with what it found, and the names of the others."""
    first = next(finding for finding in report.checks if finding.status == "failed")
    others = report.failed()[1:]
    return f"{first.name}: {first.detail}" + (f"; also failed: {', '.join(others)}" if others else "")
