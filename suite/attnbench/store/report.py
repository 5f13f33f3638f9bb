"""The report of the checks of a variant, with one finding per check; plain data that needs no torch."""

from __future__ import annotations

import codecs
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from attnbench.errors import BadInput
from attnbench.spec.plain import is_name, plain_params

SCHEMA = 1

Status = Literal["passed", "failed", "skipped", "reported"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check. detail: what was measured and what is allowed, in words; value, allowed: the same as numbers.

    status: "skipped" where the mechanism has nothing to check, "reported" where the result cannot fail the check.
    """

    name: str
    status: Status
    detail: str
    value: float | None = None
    allowed: float | None = None


@dataclass(frozen=True, kw_only=True)
class Report:
    """The findings of all checks of a variant on a device. fingerprint: of the sources and parameters that were checked, if known."""

    schema: int = SCHEMA
    variant: str
    fingerprint: str | None
    device: str
    params: dict[str, Any] = field(default_factory=dict)
    checks: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not self.failed()

    def failed(self) -> list[str]:
        """The names of the checks that failed."""
        return [finding.name for finding in self.checks if finding.status == "failed"]


def as_json(report: Report) -> dict[str, Any]:
    """The report as plain JSON values, with `ok`, so that programs need not derive it."""
    return {"variant": report.variant, "fingerprint": report.fingerprint, "ok": report.ok, **dataclasses.asdict(report)}


def encode(report: Report) -> bytes:
    """The report as a JSON document."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


def decode(document: bytes) -> Report | None:
    """The report in a document that `encode` wrote; None for anything else, such as a damaged file, or one without a finding."""
    try:
        report = msgspec.json.decode(document.removeprefix(codecs.BOM_UTF8), type=Report, strict=True)
        plain_params(report.params, report.variant)
    except (msgspec.DecodeError, ValueError, RecursionError, BadInput):
        return None
    names = (report.variant, report.device, *(finding.name for finding in report.checks))
    return report if report.schema == SCHEMA and report.checks and all(map(is_name, names)) else None


def read(file: Path) -> Report | None:
    """The report in a file; None where there is none that can be read."""
    try:
        return decode(file.read_bytes())
    except OSError:
        return None
