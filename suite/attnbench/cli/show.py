"""`attnbench show`: prints the records that count as terminal tables, one row per variant, with failures in place of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from attnbench.analysis.budgets import gains_of
from attnbench.analysis.drift import Drifts
from attnbench.analysis.frame import frame
from attnbench.analysis.labels import cell_text, epochs_text, rate_text, threads_text
from attnbench.analysis.learnt import training_notes
from attnbench.analysis.overall import task_ranks
from attnbench.analysis.rates import trials_by_setting, trials_of
from attnbench.analysis.samples import is_trial, single
from attnbench.analysis.scaling import Cost
from attnbench.analysis.settings import ALONG, grouped, labels_of, machine_of, newest_of_cells
from attnbench.analysis.standings import Standings
from attnbench.analysis.step_times import step_times
from attnbench.analysis.task_metrics import metric_of
from attnbench.analysis.task_notes import control_beside, control_text, mark_texts, marks_of_table, resolution_text
from attnbench.analysis.training_time import TIMED_ON, with_training_time
from attnbench.analysis.unverified import unverified_record
from attnbench.cli._show_costs import Label, cost_table
from attnbench.cli._show_tasks import print_average_ranks, task_table
from attnbench.cli.filters import Filter, filtered
from attnbench.cli.terminal import print_problems, print_table
from attnbench.spec.axes import Spec
from attnbench.store.controls import Control, read_controls
from attnbench.store.disturbed import disturbance
from attnbench.store.ran_on import ran_on
from attnbench.store.record import Record
from attnbench.store.store import Problem, Store

COSTS: dict[Cost, str] = {"time": "wall clock", "memory": "peak memory"}


def show_results(results: Path, wanted: Filter, out: Console, err: Console) -> None:
    """Print the tables of a results folder.

    Raises BadInput when the folder is missing, holds nothing, or has no such track, variant or machine.
    """
    problems: list[Problem] = []
    stored, controls = list(Store(results).read(problems)), read_controls(results, problems)
    print_problems(err, problems)
    whole = frame(stored)
    table, labels = filtered(whole, results, wanted), labels_of(whole)

    def label(record: Record) -> str:
        return labels.label(record.spec.variant, record.spec.params)

    chosen = [record for record in newest_of_cells(stored, label) if wanted.holds(record)]
    trials = trials_by_setting(chosen, label)
    standings = Standings(table, labels)
    # what a table can show and does not say is that of all its mechanisms, whichever are shown
    of_all = standings if wanted.variant is None else Standings(filtered(whole, results, replace(wanted, variant=None)), labels)
    steps = step_times(whole, labels)
    timed = (with_training_time(record, label(record), steps) for record in chosen if not is_trial(record))
    settings = grouped(timed, but=ALONG)
    for rows in settings:
        if rows[0].spec.track == "task":
            tried, control = len(trials_of(trials, rows[0])), control_beside(controls, rows[0])
            _print_task(rows, standings, label, tried, of_all, control, out)
        else:
            _print_costs(rows, standings, label, out)
    for aggregate in task_ranks(table, labels=labels):
        print_average_ranks(aggregate, out)
    used = {id(trial) for rows in settings for trial in trials_of(trials, rows[0])}
    _print_early([record for record in chosen if is_trial(record) and id(record) not in used], out)
    _print_what_does_not_rank(stored, chosen, out)


def _print_early(trials: Sequence[Record], out: Console) -> None:
    """Print for which models there are tuning trials and no run at a rate that they chose, as of the budgets of a pilot, a line each."""
    found: dict[str, list[Record]] = {}
    for trial in trials:
        found.setdefault(_title(trial.spec, budget=False), []).append(trial)
    for title, mine in found.items():
        budgets = sorted({trial.spec.epochs or 0 for trial in mine})
        told = ", ".join(map(str, budgets)) + f" epoch{'' if budgets == [1] else 's'}"
        out.print(f"{_trials(len(mine))} and no rate chosen yet: {title} · {told}", markup=False, highlight=False)
    if found:
        out.print()


def _print_costs(rows: Sequence[Record], standings: Standings, label: Label, out: Console) -> None:
    """Print the table of times, then that of memory, of one setting; the memory of a training step stands in its task's table."""
    of_step = rows[0].spec.track == "step"
    for what, title in COSTS.items():
        if of_step and what == "memory":
            continue
        found = cost_table(rows, what, standings, label)
        _print(found.table, f"{title} by {ALONG[rows[0].spec.track]}; {found.where}", rows[0], (), out, found.below)


def _print_task(
    rows: Sequence[Record], standings: Standings, label: Label, tried: int, of_all: Standings, control: Control | None, out: Console
) -> None:
    """Print the table of test results of one setting.

    tried: the number of its tuning trials. of_all: the standings with all mechanisms, of which some may not be shown. control: what a model
    without attention reaches on the task.
    """
    metric, first = metric_of(rows), rows[0]
    seeds: dict[str, list[Record]] = {}
    for record in rows:
        if single(record, metric.name) is not None:
            seeds.setdefault(label(record), []).append(record)
    values = ([value for record in of if (value := single(record, metric.name)) is not None] for of in seeds.values())
    timed_on = next((str(on) for record in rows if (on := record.environment.get(TIMED_ON))), "")
    timed = f"Times: steps times the seconds of a step, timed alone on {timed_on}." if timed_on else ""
    if any(single(record, "steps") for record in rows) and not any(single(record, "train_s") for record in rows):
        timed = "No times yet: attnbench run --track step, with the same preset, times the steps of these models."
    facts = (metric.chance_text(rows), timed, f"{_trials(tried)}." if tried else "", metric.groups_text(rows, values))
    below = (
        resolution_text(of_all, first, metric), control_text(control, metric), *training_notes(seeds),
        metric.gains_text(gains_of(seeds, metric.name)), *mark_texts(marks_of_table(of_all, first, metric, control)),
    )  # fmt: skip
    _print(task_table(rows, standings, label), f"{metric.title} and cost", first, facts, out, below)


def _print(table: Table, title: str, first: Record, facts: Sequence[str], out: Console, below: Sequence[str] = ()) -> None:
    """Print a table below a title that says what was run, and on what.

    facts, below: sentences about the table, above and below it; empty ones are left out.
    """
    spec = first.spec
    part = ran_on(spec.device, first.environment)
    where = ", ".join(filter(None, (spec.device, machine_of(first), part.gpu, threads_text(part.threads))))
    heads = ", ".join(filter(None, (f"{spec.num_heads} heads", spec.kv_heads_label())))
    shape = f"batch {spec.batch_size}, {heads}, head_dim {spec.head_dim}, {spec.dtype}, {where}"
    if spec.track == "task":
        shape = f"{rate_text(spec)}, {shape}"
    out.print(f"[bold]{escape(_title(spec))} · {title}[/]\n[dim]{escape(shape)}[/]", markup=True, highlight=False)
    for fact in filter(None, facts):
        out.print(fact, style="dim", markup=False, highlight=False)
    print_table(out, table)
    for fact in filter(None, below):
        out.print(fact, style="dim", markup=False, highlight=False)
    out.print()


def _print_what_does_not_rank(stored: Sequence[Record], chosen: Sequence[Record], out: Console) -> None:
    """Print which of the shown cells have times that do not count, which of the sessions are unlike their peaks, and the failed cells."""
    drifts = Drifts(stored)
    shown = {(record.machine, record.session) for record in chosen}
    for machine, session in drifts.sessions():
        note = drifts.of(machine, session).note
        if note and (machine, session) in shown:
            out.print(f"session {session}: {note}", style="yellow", markup=False, highlight=False)
    drifted = {id(record): why for record, why in zip(stored, drifts.speeds().why, strict=True) if why}
    for record in chosen:
        if why := disturbance(record):
            out.print(f"disturbed: {cell_text(record.spec)}: {why}", style="yellow", markup=False, highlight=False)
        elif why := drifted.get(id(record)):
            out.print(f"its seconds do not rank: {cell_text(record.spec)}: {why}", style="yellow", markup=False, highlight=False)
    for record in chosen:
        if why := unverified_record(record):
            out.print(f"not verified: {cell_text(record.spec)}: {why}", style="yellow", markup=False, highlight=False)
    for record in chosen:
        if record.status != "ok":
            reason = (record.reason or "no reason given").splitlines()[0]
            out.print(f"{record.status}: {cell_text(record.spec)}: {reason}", style="yellow", markup=False, highlight=False)


def _title(spec: Spec, budget: bool = True) -> str:
    """A title that says what was run, without the variant. budget: with the epochs of a training run."""
    causal, options = " · causal" if spec.causal else "", "".join(f" · {option}" for option in spec.options())
    return {
        "kernel": f"kernel · {spec.mode}{causal}",
        "depth": f"depth · {spec.block}{options} · {spec.mode}{causal} · seq_len {spec.seq_len}",
        "step": f"training step · {spec.task_label()}{causal} · {spec.block}{options}",
        "task": f"task · {spec.task_label()}{causal} · {spec.block} · {spec.depth_label()}{options}" + f" · {epochs_text(spec)}" * budget,
    }[spec.track]


def _trials(number: int) -> str:
    return f"{number} tuning trial{'' if number == 1 else 's'}"
