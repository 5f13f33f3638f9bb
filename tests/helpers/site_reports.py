"""Reports of checks for the tests of the site: one that holds, one that does not."""

from __future__ import annotations

from pathlib import Path

from attnbench.store.report import Finding, Report, encode

FINDINGS = (
    Finding(name="shape", status="passed", detail="out has the shape of v"),
    Finding(name="reference", status="skipped", detail="it declares no reference"),
    Finding(name="float32", status="passed", detail="relative error 3.57e-07; 1.16e-06 is allowed", value=3.57e-7, allowed=1.16e-6),
)
LOOKS_AHEAD = Finding(name="causality", status="failed", detail="row 3 changes with token 7 <script>", value=1.0, allowed=0.0)


def reports() -> list[Report]:
    """Of softmax, which holds all that apply, and of my_file, which looks ahead."""
    return [
        Report(variant="softmax", fingerprint="a" * 16, device="cpu", params={}, checks=list(FINDINGS)),
        Report(variant="my_file", fingerprint="b" * 16, device="cpu", params={}, checks=[*FINDINGS, LOOKS_AHEAD]),
    ]


def write_reports(results: Path) -> None:
    """The reports as files of a results folder."""
    folder = results / "checks"
    folder.mkdir(parents=True, exist_ok=True)
    for report in reports():
        (folder / f"{report.variant}-{report.fingerprint}.json").write_bytes(encode(report))
