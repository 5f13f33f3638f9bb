"""Finds the reports of checks that belong to a mechanism, and shows them in tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attnbench.analysis.labels import canonical, clip
from attnbench.store.record import Record
from attnbench.store.report import Report
from attnbench.website.links import variant_file
from attnbench.website.tables.table import EMPTY, Cell, Column, Table


class Checks:
    """The reports of a store.

    If there are several for a mechanism with the same parameters and device, the one with most checks counts; of equal ones the one whose
    fingerprint sorts last.
    """

    def __init__(self, reports: Iterable[Report]) -> None:
        self._found: dict[tuple[str, str, str], list[Report]] = {}
        for report in sorted(reports, key=lambda r: (len(r.checks), r.fingerprint or "")):
            self._found.setdefault((report.variant, canonical(report.params), report.device), []).append(report)

    def of(self, record: Record) -> Report | None:
        """The report on the mechanism of a record."""
        s = record.spec
        key = (s.variant, canonical(s.params), s.device)
        return self._found[key][-1] if key in self._found else None

    def of_variant(self, name: str) -> list[Report]:
        """All reports on a mechanism, one for each set of parameters and device."""
        return [self._found[key][-1] for key in sorted(self._found) if key[0] == name]

    def cell(self, record: Record) -> Cell:
        """How many of the checks held."""
        report = self.of(record)
        if report is None:
            return EMPTY._replace(told=(f"No report of its checks is here: attnbench check {clip(record.spec.variant, 60)} makes one.",))
        held, of = _count(report)
        failed = f"failed: {', '.join(report.failed())}" if report.failed() else "every check that applies held"
        href = f"{variant_file(record.spec.variant)}#checks"
        return Cell(f"{held}/{of}", title=failed, href=href, kind="number" if report.ok else "number warn")


def _count(report: Report) -> tuple[int, int]:
    """The number of checks that held, and the number of those that could hold or fail."""
    decided = [finding for finding in report.checks if finding.status in ("passed", "failed")]
    return sum(finding.status == "passed" for finding in decided), len(decided)


def report_table(report: Report) -> Table:
    """The table of the findings of a report, one row per check."""
    held, of = _count(report)
    given = ", ".join(f"{name} = {value}" for name, value in sorted(report.params.items())) or "no parameters"
    caption = f"{held} of {of} checks hold · {report.device}, {given}, sources {report.fingerprint or 'unknown'}"
    columns = [
        Column("Check", kind="text"),
        Column("Outcome", kind="text"),
        Column("What was found, and what is allowed", kind="text wide"),
    ]
    rows: Sequence[Sequence[Cell]] = [
        [
            Cell(finding.name, kind="head"),
            Cell(finding.status, kind="status incorrect" if finding.status == "failed" else "text"),
            Cell(finding.detail, kind="text wide"),
        ]
        for finding in report.checks
    ]
    return Table(caption, columns, rows)
