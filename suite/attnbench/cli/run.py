"""`attnbench run`: chooses cells, skips the finished ones, measures the rest and stores each at once, so that Ctrl-C loses none."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from attnbench.cli._notices import tell_of_no_commit, tell_of_plugins, tell_of_shared_name
from attnbench.cli._run_notices import announce, tell_of_disturbed, tell_of_drift, tell_of_errors, tell_of_softmax
from attnbench.cli.terminal import print_problems
from attnbench.errors import BadInput
from attnbench.runner.can_measure import lacking, require_measuring
from attnbench.runner.cell import Cell
from attnbench.runner.engines import local
from attnbench.runner.estimate import Estimate, duration_text, time_left
from attnbench.runner.finished import Finished
from attnbench.runner.gate import Gate
from attnbench.runner.here import ran_here
from attnbench.runner.jobs import Limits
from attnbench.runner.larger_sizes import RanOut
from attnbench.runner.own_softmax import measured_again
from attnbench.runner.plan import Choice, Plan, choose
from attnbench.runner.quiet import Quiet, patience_of
from attnbench.runner.retry import failed_cells
from attnbench.runner.roofline import Roof
from attnbench.runner.session import Session, session_name
from attnbench.store.environment import machine_name
from attnbench.store.record import Record
from attnbench.store.store import Problem, Store

BAD = ("error", "incorrect")
OTHER_STAGES = ("start", "build", "load data", "end")  # stages of a cell in which nothing is measured or trained
INTERRUPTED = 130


def sweep(
    choice: Choice,
    results: Path,
    timeout_s: float,
    rerun: bool,
    dry_run: bool,
    console: Console,
    retry: str | None = None,
    busy: bool = False,
) -> int:
    """Run the chosen cells and return the exit code: 1 when a cell ended in error or incorrect, 130 on Ctrl-C, else 0.

    retry: "errors" to measure, of the chosen cells, those whose newest record is an error, and no others. busy: wait for no quiet machine.
    """
    if retry is not None and rerun:
        raise BadInput(f"--retry {retry} measures some of the cells again, and --rerun all of them; give one or the other")
    cells = choose(choice)
    store = Store(results)
    store.accept(machine_name())
    finished = store.finished(machine_name(), ran_here=ran_here()) if results.is_dir() else {}
    limits, gate = Limits(timeout_s=timeout_s), Gate(results)
    known = Finished({} if rerun else finished, gate, limits, busy=busy)
    if retry is not None:
        cells = failed_cells(cells, finished, retry)

    def is_finished(cell: Cell) -> bool:
        return retry is None and known.record(cell) is not None

    again = measured_again(cells, is_finished) if choice.axes else set()
    plan = Plan(cells, finished, lambda cell: is_finished(cell) and cell.key not in again)
    todo, kept = plan.todo, plan.kept
    estimate = Estimate(finished.values(), timeout_s)
    tell_of_plugins(("variants", "tasks"))
    tell_of_softmax(choice, plan, again, finished.values(), console)
    if dry_run:
        for cell in todo:
            console.print(cell.spec.label(), highlight=False)
        announce(plan, known, finished, console)
        console.print(f"{_expected(todo, estimate)}; {len(cells) - len(todo)} finished already", highlight=False)
        return 0
    _report_problems(results, console)
    if not todo:
        if retry is None:
            console.print(f"Nothing to do: all {len(cells)} cells are finished in {results} (--rerun measures them again).")
        else:
            console.print(f"Nothing to do: of the chosen cells, none has an error as its newest record in {results}.")
        announce(plan, known, finished, console)
        tell_of_errors(kept, console)
        return int(any(record.status in BAD for record in kept))
    require_measuring()
    if (said := lacking()) is not None:
        print(said, file=sys.stderr)
    tell_of_shared_name()
    if len(todo) < len(cells):
        console.print(f"{len(cells) - len(todo)} of {len(cells)} cells are finished already; {len(todo)} to run.")
    announce(plan, known, finished, console)
    tell_of_no_commit()
    records: list[Record] = []
    began = time.monotonic()
    patience_s = 0.0 if busy else patience_of(sum(estimate.seconds(cell.spec) for cell in todo))
    try:
        session = _session(results, gate, limits, patience_s, busy, console)
        _measure(plan, store, session, known.ran_out, estimate, console, records)
    except KeyboardInterrupt:
        console.print(f"Stopped. {len(records)} cells are stored; the same command goes on with the other {len(todo) - len(records)}.")
        return INTERRUPTED
    _summary(records, results, time.monotonic() - began, console)
    tell_of_errors((*kept, *records), console)
    return int(any(record.status in BAD for record in (*kept, *records)))


def _session(results: Path, gate: Gate, limits: Limits, patience_s: float, busy: bool, console: Console) -> Session:
    """The session of this command, which waits so long at a time for a quiet machine."""

    def say(said: str) -> None:
        console.print(said, style="dim", markup=False, highlight=False, soft_wrap=True)

    roof, quiet = Roof(results, "forkserver", say), Quiet(patience_s, say)
    return Session(session_name(), gate, limits, roof=roof, checkpoints=results / "checkpoints", quiet=quiet, busy_allowed=busy)


def _measure(
    plan: Plan, store: Store, session: Session, ran_out: RanOut, estimate: Estimate, console: Console, records: list[Record]
) -> None:
    """Measure the cells and store each record. Shows a bar in a terminal, prints a line a cell to a log; both estimate the time left."""
    total = sum(estimate.seconds(cell.spec) for cell in plan.todo)
    done = 0.0
    columns = (BarColumn(bar_width=24), TextColumn("{task.fields[status]}", markup=False))
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=total, status="starting")

        def on_start(cell: Cell) -> None:
            spent_s = sum(record.duration_s for record in records)  # without what was spent waiting
            left = duration_text(time_left(spent_s, done, total - done))
            line = f"[{len(records) + 1}/{len(plan.todo)}] about {left} left · {cell.spec.label()}"
            progress.update(bar, completed=done, status=line)
            if not console.is_terminal:
                console.print(line, markup=False, highlight=False, soft_wrap=True)

        for record in local.run_cells(plan.cells(), session, on_start, ran_out):
            store.append(record)
            plan.add(record)
            records.append(record)
            done += estimate.seconds(record.spec)
            if record.status != "ok":
                reason = (record.reason or "").splitlines()[:1]
                console.print(f"{record.status}: {record.spec.label()}: {' '.join(reason)}", markup=False, highlight=False)


def _expected(todo: Sequence[Cell], estimate: Estimate) -> str:
    """How many cells are to run, how long that takes, and by what this is known."""
    by = f"{estimate.records:,} records of this machine" if estimate.records else "rough numbers, for want of records of this machine"
    return f"{len(todo):,} cells to run, about {duration_text(sum(estimate.seconds(cell.spec) for cell in todo))} by {by}"


def _report_problems(results: Path, console: Console) -> None:
    if not results.is_dir():
        return
    problems: list[Problem] = []
    for _ in Store(results).read(problems):
        pass
    print_problems(console, problems)


def _summary(records: Sequence[Record], results: Path, took_s: float, console: Console) -> None:
    counts = Counter(record.status for record in records)
    shown = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    console.print(f"{len(records)} cells measured ({shown}); records are in {results / 'records'}.")
    working_s = sum(seconds for record in records for stage, seconds in record.stages_s.items() if stage not in OTHER_STAGES)
    console.print(f"{working_s / took_s:.0%} of {took_s:,.0f} s went into measuring and training.", highlight=False)
    tell_of_disturbed(records, console)
    tell_of_drift(records, console)
    where = "" if results == Path("results") else f" --results {results}"
    console.print(
        f"Next: `attnbench show{where}` for a table, `attnbench site{where}` for the leaderboard.", highlight=False, soft_wrap=True
    )
