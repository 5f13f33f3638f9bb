"""`attnbench run --preset pilot`: softmax with doubled budgets, and then the budget of every task, as spec/budgets.py holds it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from attnbench import registry
from attnbench.analysis.task_metrics import METRICS
from attnbench.errors import BadInput
from attnbench.runner.cell import resolve
from attnbench.runner.finished import Finished
from attnbench.runner.gate import Gate
from attnbench.runner.here import this_machine
from attnbench.runner.jobs import Limits
from attnbench.runner.pilot import Piloted, RecordOf, piloted
from attnbench.runner.plan import Choice
from attnbench.spec import presets
from attnbench.spec.axes import Spec
from attnbench.spec.budgets import CHOSEN
from attnbench.spec.pilot import PilotGrid, budget_key
from attnbench.store.record import Record
from attnbench.store.store import Store


def pilot(choice: Choice, results: Path, timeout_s: float, dry_run: bool, console: Console, run: Callable[[Choice], int]) -> int:
    """Run the pilot until a budget is chosen for every task or none is left to try, and print what it shows; returns the exit code.

    Every round runs the budgets that those before it ask for. run: runs the cells of a choice, those that are not finished. An interrupted
    pilot goes on where it was.
    """
    if choice.variants or choice.data:
        raise BadInput("the pilot is of softmax on each task's own data; leave out --variant and --data")
    preset, tasks = presets.load(choice.preset), registry.by_stem("tasks", choice.tasks)
    grids = [grid for grid in preset.grids if isinstance(grid, PilotGrid)]
    held = set().union(*(grid.names for grid in grids))
    sources = {name: name for name in held if not tasks} | tasks
    opened = [spec for grid in grids for spec in grid.first(choice.device, sources, preset.protocol)]
    before: list[Spec] | None = None
    while True:
        shown = [piloted(spec, preset.protocol, _records(results, choice, tasks, timeout_s)) for spec in opened]
        wanted = [run for task in shown for run in task.wanted]
        if not wanted or wanted == before:
            break
        code = run(dataclasses.replace(choice, specs=tuple(wanted)))
        if dry_run:
            console.print("These are the first budgets; a task whose result still grows is run with twice as many epochs, and so on.")
        if code or dry_run:
            return code
        before = wanted
    _print(shown, sources, console)
    return 0


def _records(results: Path, choice: Choice, tasks: dict[str, str], timeout_s: float) -> RecordOf:
    """A function that gives the finished record of a run, None where there is none."""
    machine = this_machine(choice.device)
    found = Store(results).finished(machine.name, "", machine.measured, machine.can_use) if results.is_dir() else {}
    known = Finished(found, Gate(results), Limits(timeout_s=timeout_s))

    def record_of(spec: Spec) -> Record | None:
        return known.record(resolve(spec, {}, tasks))

    return record_of


def _print(shown: Sequence[Piloted], sources: Mapping[str, str], console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("task", "form", "epochs: result on the validation part ± standard error over seeds", "nothing", "chosen", "in use"):
        table.add_column(column, justify="left")
    for task in shown:
        spec, metric = task.spec, METRICS.get(task.metric)
        told = metric.told if metric else str
        known = {epochs: f"{told(value)} ± {metric.half(task.errors[epochs])}" for epochs, value in task.reached.items() if metric}
        reached = ", ".join(f"{epochs}: {value}" for epochs, value in known.items()) or task.failed or "not run yet"
        table.add_row(
            spec.task_label(), "causal" if spec.causal else "bidirectional", reached, told(task.nothing) if metric else "",
            f"{task.chosen or 'none'}{', the longest' if task.doubling_gains else ''}",
            str(CHOSEN.get(budget_key(spec, sources[str(spec.task)]), "as declared")),
        )  # fmt: skip
    console.print(table)
    if gaining := [task.spec.task_label() for task in shown if task.doubling_gains]:
        said = f"Twice the longest budget that a task may have still gains the margin or more: {', '.join(gaining)}."
        console.print(said, markup=False, highlight=False)
    console.print("\nIn suite/attnbench/spec/budgets.py, CHOSEN is to hold:", highlight=False)
    for task in shown:
        if task.chosen:
            console.print(f'    "{budget_key(task.spec, sources[str(task.spec.task)])}": {task.chosen},', markup=False, highlight=False)
