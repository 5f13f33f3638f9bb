"""The terminal table of average ranks over tasks."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console

from attnbench.analysis.frame import frame
from attnbench.analysis.overall import Aggregate, task_ranks
from attnbench.cli.terminal import new_table, print_table
from attnbench.stats import ties
from attnbench.store.record import Record


def print_overall(records: Iterable[Record], out: Console) -> None:
    """Average ranks over tasks with their critical difference, of every bench that has enough tasks, and what they leave out."""
    for aggregate in task_ranks(frame(records)):
        if aggregate.found is not None:
            _print(aggregate, out)


def _print(aggregate: Aggregate, out: Console) -> None:
    found = aggregate.found
    assert found is not None
    table = new_table("average rank", "variant", "not told apart from", left=("variant", "not told apart from"))
    for label, rank, others in zip(aggregate.labels, found.ranks, ties(aggregate.labels, found.beats), strict=True):
        everyone = len(others) == len(aggregate.labels) - 1
        table.add_row(f"{rank:.2f}", label, "any" if everyone else ", ".join(others))
    out.print(f"[bold]average rank over {len(aggregate.tasks)} tasks, residual[/]", highlight=False)
    names = ", ".join(task.partition(" (")[0] for task in aggregate.tasks)
    out.print(f"{names}; {', '.join(aggregate.bench[:3])}", style="dim", markup=False, highlight=False)
    out.print(
        f"Told apart beyond {found.critical_difference:.2f} ranks (Nemenyi, 5 %) if at all (Friedman, p = {found.friedman_p:.2g}).",
        style="dim", markup=False, highlight=False,
    )  # fmt: skip
    for what in aggregate.left_out:
        out.print(f"left out: {what}", style="dim", markup=False, highlight=False)
    print_table(out, table)
    out.print()
