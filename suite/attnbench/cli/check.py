"""`attnbench check`: runs every check of the given variants, each variant in a process of its own, and prints tables or JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from attnbench import registry
from attnbench.cli._notices import tell_of_plugins
from attnbench.cli.output import print_json
from attnbench.errors import BadInput, NotImportable, unknown_name
from attnbench.runner.can_measure import require_measuring
from attnbench.runner.jobs import CheckJob, Limits, Result
from attnbench.runner.lock import measurement_lock
from attnbench.runner.parent import run_in_child
from attnbench.spec.axis_values import DEVICES
from attnbench.store.environment import anonymous
from attnbench.store.report import Finding, Report, as_json

STYLES = {"passed": "green", "failed": "bold red", "skipped": "dim", "reported": "cyan"}


@dataclass(frozen=True)
class Request:
    """The variants to check, the device, and the time that each may take.

    sources: names or paths of files; everything: check all registered variants instead.
    """

    sources: tuple[str, ...] = ()
    everything: bool = False
    device: str = "cpu"
    timeout_s: float = 300.0


def check_variants(request: Request, json_wanted: bool, out: Console, err: Console) -> int:
    """Check the variants, print the reports, and return the exit code: 0 only when every check holds.

    Raises BadInput for an unknown name, a missing file, or two files of one name; and for a single variant that cannot be loaded. Among
    others one that cannot be loaded is reported, and the rest is checked.
    """
    sources = _sources(request)
    require_measuring()
    if request.everything:
        tell_of_plugins(("variants",))
    reports = []
    for number, source in enumerate(sources, start=1):
        place = f"[{number}/{len(sources)}] " if len(sources) > 1 else ""
        try:
            report = _check(source, request, place, err)
        except BadInput as error:
            if len(sources) == 1:
                raise
            report = _unfinished(registry.stem(source), request.device, Result("error", "load", str(error)))
        reports.append(report)
        if not json_wanted:
            _print(report, out, only_failures=request.everything)
    if json_wanted:
        objects = [as_json(report) for report in reports]
        one = len(objects) == 1 and not request.everything
        print_json(objects[0] if one else objects)
    elif len(reports) > 1:
        bad = [report.variant for report in reports if not report.ok]
        out.print(f"{len(reports)} variants checked; {', '.join(bad) if bad else 'none'} failed.", highlight=False)
    return int(not all(report.ok for report in reports))


def _sources(request: Request) -> list[str]:
    if request.device not in DEVICES:
        raise unknown_name("device", request.device, DEVICES, "attnbench check --help")
    if request.everything:
        if request.sources:
            raise BadInput(f"--all checks every variant, and {request.sources[0]!r} is named too; give one or the other")
        return registry.names("variants")
    if not request.sources:
        raise BadInput("there is nothing to check; give the name of a variant, the path of its file, or --all")
    for source in request.sources:
        if registry.is_path(source) and not Path(source).is_file():
            raise BadInput(f"there is no file {source!r}; give the path of a variant's file, or a name (attnbench list variants)")
    return list(registry.by_stem("variants", request.sources).values())


def _check(source: str, request: Request, place: str, err: Console) -> Report:
    job = CheckJob(source, {}, request.device, full=True, limits=Limits(timeout_s=request.timeout_s))
    name = registry.stem(source)
    waiting: AbstractContextManager[Any] = err.status("") if err.is_terminal else nullcontext()
    with measurement_lock(), waiting as shown:

        def watch(stage: str) -> None:
            if shown is not None:
                shown.update(f"{place}{name}: {stage}")

        watch("start")
        result = run_in_child(job, "spawn" if request.device == "cuda" else "forkserver", watch)
    if isinstance(result.value, NotImportable) and result.value.status == "unavailable":
        result = Result("unavailable", "load", str(result.value))
    if isinstance(result.value, BadInput):
        raise result.value
    return result.value if isinstance(result.value, Report) else _unfinished(name, request.device, result)


def _unfinished(name: str, device: str, result: Result) -> Report:
    """The report of a run that did not finish: the check that was running has failed."""
    detail = anonymous(f"{result.status}: {result.reason or 'no reason given'}")
    return Report(variant=name, fingerprint=None, device=device, checks=[Finding(name=result.stage, status="failed", detail=detail)])


def _print(report: Report, out: Console, only_failures: bool) -> None:
    counts: Counter[str] = Counter(finding.status for finding in report.checks)
    said = ", ".join(f"{counts[status]} {status}" for status in STYLES if counts[status])
    outcome = Text("holds", style="green") if report.ok else Text("does not hold", style="bold red")
    out.print(Text.assemble((report.variant, "bold"), " ", outcome, f" ({report.device}; {said})"))
    shown = [finding for finding in report.checks if finding.status == "failed" or not only_failures]
    if shown:
        out.print(_table(shown))


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("check", "status"):
        table.add_column(column, no_wrap=True)
    table.add_column("what was found", overflow="fold")
    for finding in findings:
        table.add_row(finding.name, Text(finding.status, style=STYLES[finding.status]), Text(finding.detail))
    return table
