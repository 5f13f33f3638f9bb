"""The gate: a variant that fails a check of the correctness subset is not measured. Reports are kept, a file each."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from attnbench import registry
from attnbench.errors import BadInput, NotImportable
from attnbench.runner.cell import CheckRequest
from attnbench.runner.jobs import CheckJob, Limits, Result
from attnbench.runner.outside import CHECK, outside_finding
from attnbench.runner.parent import Start, run_in_child
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

    def refusal(self, request: CheckRequest, start: Start, limits: Limits) -> Result | None:
        """Why the variant must not be measured, as a cell's result; None when its checks hold.

        Checks it, in a child process, if no report of the same sources is there.
        """
        fingerprint = request.fingerprint()
        if fingerprint not in self._found:
            known = self.known(request)
            if known is None:
                self._found[fingerprint] = self._check(request, start, limits)
            else:
                self._found[fingerprint] = Result("ok", "done", None, known)
        found = self._found[fingerprint]
        if found.status != "ok":
            return Result(found.status, f"check: {found.stage}", found.reason)
        if isinstance(found.value, NotImportable):
            return Result(found.value.status, f"{CHECK}: load", str(found.value))
        if isinstance(found.value, BadInput):
            return Result("error", CHECK, str(found.value))
        if outside := outside_finding(found.value):
            name, detail = outside
            missing = detail.startswith("it raises ModuleNotFoundError")
            return Result("unavailable" if missing else "error", f"{CHECK}: {name}", detail)
        return None if found.value.ok else Result("incorrect", CHECK, _why(found.value))

    def known(self, request: CheckRequest) -> Report | None:
        """The stored report of the same sources, parameters and device; None without one that can be read."""
        report = read(self._file(request))
        fits = report is not None and report.fingerprint == request.fingerprint() and outside_finding(report) is None
        return report if fits else None

    def _check(self, request: CheckRequest, start: Start, limits: Limits) -> Result:
        job = CheckJob(request.source, request.params, request.device, full=False, limits=limits)
        found = run_in_child(job, start)
        if isinstance(found.value, Report) and outside_finding(found.value) is None:
            with contextlib.suppress(OSError):  # the record, stored next, will say that the disk is full
                write_whole(self._file(request), encode(found.value))
        return found

    def _file(self, request: CheckRequest) -> Path:
        name = re.sub(r"[^A-Za-z0-9._-]", "_", registry.stem(request.source))
        return self.results / "checks" / f"{name}-{request.fingerprint()}.json"


def _why(report: Report) -> str:
    """The first check that failed with what it found, and the names of the others."""
    first = next(finding for finding in report.checks if finding.status == "failed")
    others = report.failed()[1:]
    return f"{first.name}: {first.detail}" + (f"; also failed: {', '.join(others)}" if others else "")
