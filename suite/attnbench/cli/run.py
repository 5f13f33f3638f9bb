"""`attnbench run`: chooses cells, skips the finished ones, measures the rest and stores each at once, so that Ctrl-C loses none."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from attnbench.analysis.drift import Drifts
from attnbench.cli._notices import tell_of_no_commit, tell_of_plugins, tell_of_shared_name
from attnbench.cli._run_notices import announce, tell_of_errors
from attnbench.cli.terminal import print_problems
from attnbench.errors import BadInput
from attnbench.runner.can_measure import lacking, require_measuring
from attnbench.runner.cell import Cell
from attnbench.runner.engines import local
from attnbench.runner.finished import Finished
from attnbench.runner.gate import Gate
from attnbench.runner.here import ran_here
from attnbench.runner.jobs import Limits
from attnbench.runner.larger_sizes import RanOut
from attnbench.runner.plan import Choice, Plan, choose
from attnbench.runner.retry import failed_cells
from attnbench.runner.roofline import Roof
from attnbench.runner.session import Session, session_name
from attnbench.spec.axes import Spec
from attnbench.store.environment import machine_name
from attnbench.store.record import Record
from attnbench.store.store import Problem, Store

# Rough seconds of a cell, by which the time left is estimated, so that a training run, or 16,384 tokens, counts more than a small call.
# They are what the cells of the standard preset took on two cores, with one number for all mechanisms.
WEIGHT = {"kernel": 0.7, "depth": 0.9, "task": 4.0}
TOKEN_S = {"forward": 1.1e-3, "training": 2.1e-3}  # added for each token of a kernel's sequence; for decoding it is close to nothing
LAYER_S = 0.4  # added for each layer of a stack
LAYER_EPOCH_S = 0.55  # added for each epoch of training and layer
BAD = ("error", "incorrect")
OTHER_STAGES = ("start", "build", "load data", "end")  # stages of a cell in which nothing is measured or trained
INTERRUPTED = 130


def sweep(choice: Choice, results: Path, timeout_s: float, rerun: bool, dry_run: bool, console: Console, retry: str | None = None) -> int:
    """Run the chosen cells and return the exit code: 1 when a cell ended in error or incorrect, 130 on Ctrl-C, else 0.

    retry: "errors" to measure, of the chosen cells, those whose newest record is an error, and no others.
    """
    if retry is not None and rerun:
        raise BadInput(f"--retry {retry} measures some of the cells again, and --rerun all of them; give one or the other")
    cells = choose(choice)
    store = Store(results)
    store.accept(machine_name())
    finished = store.finished(machine_name(), ran_here=ran_here()) if results.is_dir() else {}
    limits, gate = Limits(timeout_s=timeout_s), Gate(results)
    known = Finished({} if rerun else finished, gate, limits)
    if retry is not None:
        cells = failed_cells(cells, finished, retry)
    plan = Plan(cells, finished, lambda cell: retry is None and known.record(cell) is not None)
    todo, kept = plan.todo, plan.kept
    tell_of_plugins(("variants", "tasks"))
    if dry_run:
        for cell in todo:
            console.print(cell.spec.label(), highlight=False)
        announce(plan, known, finished, console)
        console.print(f"{len(todo)} cells to run, {len(cells) - len(todo)} finished already")
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
    try:
        roof = Roof(results, "forkserver", lambda said: console.print(said, style="dim", markup=False, highlight=False))
        session = Session(session_name(), gate, limits, roof=roof, checkpoints=results / "checkpoints")
        _measure(plan, store, session, known.ran_out, console, records)
    except KeyboardInterrupt:
        console.print(f"Stopped. {len(records)} cells are stored; the same command goes on with the other {len(todo) - len(records)}.")
        return INTERRUPTED
    _summary(records, results, time.monotonic() - began, console)
    tell_of_errors((*kept, *records), console)
    return int(any(record.status in BAD for record in (*kept, *records)))


def _measure(plan: Plan, store: Store, session: Session, ran_out: RanOut, console: Console, records: list[Record]) -> None:
    """Measure the cells and store each record. Shows a bar in a terminal, prints a line a cell to a log; both estimate the time left."""
    began = time.monotonic()
    total = sum(weight(cell.spec) for cell in plan.todo)
    columns = (BarColumn(bar_width=24), TextColumn("{task.fields[status]}", markup=False))
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=total, status="starting")

        def on_start(cell: Cell) -> None:
            done = sum(weight(record.spec) for record in records)
            line = f"[{len(records) + 1}/{len(plan.todo)}] {_left(time.monotonic() - began, done / total)}{cell.spec.label()}"
            progress.update(bar, completed=done, status=line)
            if not console.is_terminal:
                console.print(line, markup=False, highlight=False, soft_wrap=True)

        for record in local.run_cells(plan.cells(), session, on_start, ran_out):
            store.append(record)
            plan.add(record)
            records.append(record)
            if record.status != "ok":
                reason = (record.reason or "").splitlines()[:1]
                console.print(f"{record.status}: {record.spec.label()}: {' '.join(reason)}", markup=False, highlight=False)


def weight(spec: Spec) -> float:
    """The seconds that a cell takes, roughly."""
    layers = spec.num_layers or 0
    more = {
        "kernel": TOKEN_S.get(spec.mode, 0.0) * (spec.seq_len or 0),
        "depth": LAYER_S * layers,
        "task": LAYER_EPOCH_S * layers * (spec.epochs or 0),
    }
    return WEIGHT[spec.track] + more[spec.track]


def _left(elapsed_s: float, share: float) -> str:
    """The estimated time left as text, from the share of the work that is done; empty while that is below 5 %."""
    if share < 0.05:
        return ""
    minutes, seconds = divmod(round(elapsed_s * (1 - share) / share), 60)
    return f"about {minutes}:{seconds:02} left · "


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
    for flag in Drifts(record for record in records if record.status == "ok").flags().values():
        console.print(f"The times of this session will not rank: {flag}. Run it again with --rerun on a quiet machine.", style="yellow")
    where = "" if results == Path("results") else f" --results {results}"
    console.print(
        f"Next: `attnbench show{where}` for a table, `attnbench site{where}` for the leaderboard.", highlight=False, soft_wrap=True
    )
