"""`attnbench run`: chooses cells, skips the finished ones, measures the rest and stores each at once, so that Ctrl-C loses none."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from attnbench.analysis.labels import cell_text
from attnbench.cli._notices import tell_of_no_commit, tell_of_plugins, tell_of_shared_name
from attnbench.cli._run_notices import announce, tell_of_disturbed, tell_of_drift, tell_of_errors, tell_of_softmax
from attnbench.cli._run_progress import BAD, Sweep
from attnbench.cli.terminal import print_problems
from attnbench.errors import BadInput, unknown_name
from attnbench.runner.can_measure import lacking, require_measuring
from attnbench.runner.cell import Cell
from attnbench.runner.engines import Capacity, Engine, capacity_of, run_cells
from attnbench.runner.engines.local import Local, default_jobs
from attnbench.runner.estimate import Estimate, duration_text
from attnbench.runner.finished import Finished
from attnbench.runner.gate import Gate
from attnbench.runner.here import this_machine
from attnbench.runner.jobs import Limits
from attnbench.runner.own_softmax import measured_again
from attnbench.runner.plan import Choice, Plan, choose
from attnbench.runner.quiet import Quiet, patience_of
from attnbench.runner.retry import failed_cells
from attnbench.runner.roofline import Roof
from attnbench.runner.schedule import Schedule
from attnbench.runner.session import Session, session_name
from attnbench.spec import tuning
from attnbench.store.store import Problem, Store

if TYPE_CHECKING:
    from attnbench.runner.engines.ray import Ray

ENGINES = ("local", "ray")
INTERRUPTED = 130


@dataclass(frozen=True)
class Where:
    """Where cells run: on this machine, of those whose times do not count `jobs` at once, None for as many as fit; or on a Ray cluster."""

    engine: str = "local"
    jobs: int | None = None
    address: str | None = None


def sweep(
    choice: Choice,
    results: Path,
    timeout_s: float,
    rerun: bool,
    dry_run: bool,
    console: Console,
    retry: str | None = None,
    busy: bool = False,
    where: Where = Where(),
) -> int:
    """Run the chosen cells and return the exit code: 1 when a cell ended in error or incorrect, 130 on Ctrl-C, else 0.

    retry: "errors" to measure, of the chosen cells, those whose newest record is an error, and no others. busy: wait for no quiet machine.
    """
    if retry is not None and rerun:
        raise BadInput(f"--retry {retry} measures some of the cells again, and --rerun all of them; give one or the other")
    cluster = _cluster(where, choice.device, console)
    machine = cluster.machine if cluster else this_machine(choice.device)
    cells = choose(choice, machine)
    store = Store(results)
    store.accept(machine.name)
    finished = store.finished(machine.name, "", machine.measured, machine.can_use) if results.is_dir() else {}
    limits, gate, jobs = Limits(timeout_s=timeout_s), Gate(results), where.jobs or default_jobs(machine)
    memory = machine.facts.get("memory_bytes")
    jobs = cluster.slots if cluster else jobs
    known = Finished({} if rerun else finished, gate, limits, busy=busy, beside=limits.shared_by(jobs), memory=memory)
    if retry is not None:
        cells = failed_cells(cells, finished, retry)

    def is_finished(cell: Cell) -> bool:
        return retry is None and known.record(cell) is not None

    again = measured_again(cells, is_finished) if choice.axes else set()
    asked = {cell.key for cell in cells}
    has_trial = None if retry is None else lambda cell: cell.key not in asked  # what failed is made again, and rests on what did not
    plan = Plan(cells, finished, lambda cell: is_finished(cell) and cell.key not in again, has_trial)
    todo, kept = plan.todo, plan.kept
    estimate = Estimate(finished.values(), timeout_s, machine.name)
    tell_of_plugins(("variants", "tasks"))
    tell_of_softmax(choice, plan, again, finished.values(), console)
    if dry_run:
        for cell in todo:
            console.print(cell_text(cell.spec), highlight=False)
        announce(plan, known, finished, console)
        capacity = capacity_of(cluster.places()) if cluster else Capacity(1, jobs)
        console.print(f"{_expected(todo, estimate, capacity)}; {len(cells) - len(todo)} finished already", highlight=False, soft_wrap=True)
        return 0
    _report_problems(results, console)
    if not todo:
        if retry is None:
            console.print(f"Nothing to do: all {len(cells)} cells are finished in {results} (--rerun measures them again).")
        else:
            console.print(f"Nothing to do: of the chosen cells, none has an error as its newest record in {results}.")
        announce(plan, known, finished, console)
        tell_of_errors(sum(record.status == "error" for record in kept), console)
        return int(any(record.status in BAD for record in kept))
    if cluster is None:
        require_measuring()
        if (said := lacking()) is not None:
            print(said, file=sys.stderr)
        tell_of_shared_name()
    if len(todo) < len(cells):
        console.print(f"{len(cells) - len(todo)} of {len(cells)} cells are finished already; {len(todo)} to run.")
    announce(plan, known, finished, console)
    tell_of_no_commit()
    patience_s = 0.0 if busy else patience_of(sum(estimate.seconds(cell.spec) for cell in todo if cell.spec.is_timed))
    session = _session(results, limits, patience_s, busy, console)
    engine: Engine = Local(session, choice.device, jobs)
    order = None
    if cluster is not None:
        cluster.begin(session, results, todo)
        engine, order = cluster, lambda cell: -estimate.seconds(cell.spec)  # the longest first: many workers wait for the last one
    sweep = Sweep(todo, estimate, console)
    schedule = Schedule(plan, gate, known.ran_out, order, sweep.more)
    try:
        with sweep, _ended_by_sigterm():
            for record in run_cells(schedule, gate, engine, sweep.starts):
                store.append(record)
                sweep.ended(record)
    except KeyboardInterrupt:
        console.print(f"Stopped. {len(sweep.tally)} cells are stored; the same command goes on with the other {sweep.left}.")
        return INTERRUPTED
    _summary(sweep, results, console)
    tell_of_errors(sum(record.status == "error" for record in kept) + sweep.tally.statuses["error"], console)
    return int(sweep.tally.has_bad() or any(record.status in BAD for record in kept))


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Context manager: SIGTERM, with which batch systems announce the end of a job, ends the run as Ctrl-C does."""

    def end(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _cluster(where: Where, device: str, console: Console) -> Ray | None:
    """The cluster on which cells are to run; None for this machine. Raises BadInput for an engine that there is not."""
    if where.engine == "local":
        if where.address is not None:
            raise BadInput(f"--address {where.address} is of a Ray cluster; give --engine ray with it, or leave it out")
        return None
    if where.engine != "ray":
        raise unknown_name("engine", where.engine, ENGINES, "attnbench run --help")
    from attnbench.runner.engines.ray import Ray

    return Ray(where.address or "auto", device, lambda said: _say(console, said), where.jobs)


def _session(results: Path, limits: Limits, patience_s: float, busy: bool, console: Console) -> Session:
    """The session of this command, which waits so long at a time for a quiet machine."""

    roof = Roof(results, "forkserver", lambda said: _say(console, said))
    quiet = Quiet(patience_s, lambda said: _say(console, said))
    return Session(session_name(), limits, roof=roof, checkpoints=results / "checkpoints", quiet=quiet, busy_allowed=busy)


def _say(console: Console, said: str) -> None:
    console.print(said, style="dim", markup=False, highlight=False, soft_wrap=True)


def _expected(todo: Sequence[Cell], estimate: Estimate, capacity: Capacity) -> str:
    """How many cells are to run, how long that takes, and by what this is known; and what the choice of rates may take beyond."""
    by = f"{estimate.records:,} records" if estimate.records else "rough numbers, for want of records"
    seconds = sum(estimate.seconds(cell.spec) / (capacity.alone if cell.is_timed else capacity.beside) for cell in todo)
    said = f"{len(todo):,} cells to run, about {duration_text(seconds)} by {by}"
    further = tuning.deciding(cell.spec for cell in todo)
    if further:
        more = sum(estimate.seconds(spec) / capacity.beside for spec in further)
        said += (
            f"; where rates are close {len(further):,} more at most, {duration_text(more)}, and where the best is at an edge further ones"
        )
    return said


def _report_problems(results: Path, console: Console) -> None:
    if not results.is_dir():
        return
    problems: list[Problem] = []
    for _ in Store(results).read(problems):
        pass
    print_problems(console, problems)


def _summary(sweep: Sweep, results: Path, console: Console) -> None:
    tally = sweep.tally
    shown = ", ".join(f"{count} {status}" for status, count in sorted(tally.statuses.items()))
    console.print(f"{len(tally)} cells measured ({shown}); records are in {results / 'records'}.")
    console.print(_spent(tally.working_s, sweep.took_s), highlight=False)
    tell_of_disturbed(tally.disturbed, console)
    tell_of_drift(tally.drifts, console)
    where = "" if results == Path("results") else f" --results {results}"
    console.print(
        f"Next: `attnbench show{where}` for a table, `attnbench site{where}` for the leaderboard.", highlight=False, soft_wrap=True
    )


def _spent(working_s: float, took_s: float) -> str:
    """What became of the time of a run, cells of which may have run side by side.

    >>> _spent(45, 50), _spent(90, 50)
    ('90% of 50 s went into measuring and training.', '90 s of measuring and training went into 50 s, side by side.')
    """
    if working_s > took_s:
        return f"{working_s:,.0f} s of measuring and training went into {took_s:,.0f} s, side by side."
    return f"{working_s / took_s:.0%} of {took_s:,.0f} s went into measuring and training."
