"""The gate before any number: a variant whose correctness subset does not hold is not measured. Reports are kept, a file each."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attnbench import registry
from attnbench.errors import BadInput
from attnbench.runner.parent import Limits, Result, Start, run_in_child
from attnbench.store.files import write_whole
from attnbench.store.fingerprint import check_fingerprint
from attnbench.store.report import Report, decode, encode


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
        from attnbench.measurement.checks import check

        try:
            return check(self.source, self.params, self.device, self.full, stage)
        except BadInput as error:
            return error


@dataclass(frozen=True)
class Subset:
    """What the gate asks of a cell's variant: which one, with which parameters, on which device."""

    source: str
    params: Mapping[str, Any]
    device: str

    def fingerprint(self) -> str:
        return check_fingerprint(self.source, self.params, self.device)


@dataclass
class Gate:
    """The reports in results/checks, and what was found since this process began.

    Only a report that came to its end is kept on the disk: a check that ran out of time or memory is tried again by the next command.
    """

    results: Path
    _found: dict[str, Result] = field(default_factory=dict)

    def refusal(self, subset: Subset, start: Start, limits: Limits) -> Result | None:
        """Why the variant must not be measured, as a cell's result; None when its checks hold.

        Checks it, in a child process, if no report of the same sources is there.
        """
        fingerprint = subset.fingerprint()
        if fingerprint not in self._found:
            known = self.known(subset)
            if known is None:
                self._found[fingerprint] = self._check(subset, start, limits)
            else:
                self._found[fingerprint] = Result("ok", "done", None, known)
        found = self._found[fingerprint]
        if found.status != "ok":
            return Result(found.status, f"check: {found.stage}", found.reason)
        if isinstance(found.value, BadInput):
            return Result("error", "check", str(found.value))
        return None if found.value.ok else Result("incorrect", "check", _why(found.value))

    def known(self, subset: Subset) -> Report | None:
        """The stored report of these very sources, if there is one that can be read."""
        with contextlib.suppress(OSError):
            report = decode(self._file(subset).read_bytes())
            if report is not None and report.fingerprint == subset.fingerprint():
                return report
        return None

    def _check(self, subset: Subset, start: Start, limits: Limits) -> Result:
        job = CheckJob(subset.source, subset.params, subset.device, full=False, limits=limits)
        found = run_in_child(job, start)
        if isinstance(found.value, Report):
            with contextlib.suppress(OSError):  # the record, stored next, will say that the disk is full
                write_whole(self._file(subset), encode(found.value))
        return found

    def _file(self, subset: Subset) -> Path:
        name = re.sub(r"[^A-Za-z0-9._-]", "_", registry.stem(subset.source))
        return self.results / "checks" / f"{name}-{subset.fingerprint()}.json"


def _why(report: Report) -> str:
    """The first check that failed with what it found, and the names of the others."""
    first = next(finding for finding in report.checks if finding.status == "failed")
    others = report.failed()[1:]
    return f"{first.name}: {first.detail}" + (f"; also failed: {', '.join(others)}" if others else "")
