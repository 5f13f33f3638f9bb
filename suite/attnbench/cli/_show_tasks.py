"""The terminal tables of tasks: test results of one setting with their costs, and average ranks over tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median

from rich.console import Console
from rich.table import Table
from rich.text import Text

from attnbench.analysis.diverged import diverged_text
from attnbench.analysis.labels import rates_text, threads_text
from attnbench.analysis.learnt import learnt
from attnbench.analysis.number_format import count, rank_text, seconds, size
from attnbench.analysis.overall import Aggregate, lengths_text
from attnbench.analysis.samples import reached_target, single, status_word
from attnbench.analysis.settings import BENCH
from attnbench.analysis.standings import Standings
from attnbench.analysis.task_metrics import metric_of
from attnbench.cli._show_costs import Label
from attnbench.cli.terminal import new_table, print_table
from attnbench.stats import in_groups, ties
from attnbench.store.record import Record

LAST = (10**6, 10**6)  # sorts a mechanism without a rank after all others


def task_table(rows: Sequence[Record], standings: Standings, label: Label) -> Table:
    """The table of the mechanisms of one setting with their test results and costs, in the order of ranks, ties by name."""
    metric = metric_of(rows)
    shown: dict[str, Callable[[list[Record]], str]] = {
        "seeds": lambda done: str(len(done)),
        **({"diverged": _diverged} if any(single(record, "diverged") for record in rows) else {}),
        **({"rate": rates_text} if rows[0].spec.lr_grid is not None else {}),
        "train": lambda done: _typical(done, "train_s", seconds),
        "to target": _time_to_target,
        "tokens/s": lambda done: _typical(done, "training_tokens_per_s", count),
        "memory": lambda done: _typical(done, "peak_memory_bytes", size),
        "params": lambda done: _typical(done, "parameters", count),
        **({"its own": _own_parameters} if any(single(record, "mechanism_parameters") for record in rows) else {}),
    }
    table = new_table("rank", "variant", metric.title, *shown, left=("variant",))
    mechanisms: dict[str, list[Record]] = {}
    for record in rows:
        mechanisms.setdefault(label(record), []).append(record)
    learnable = metric.learnable(rows)
    ranks = {name: place.rank for name, place in standings.places("result", rows[0]).items()}
    for name, own in sorted(mechanisms.items(), key=lambda item: (ranks.get(item[0]) or LAST, item[0])):
        done = [record for record in own if single(record, metric.name) is not None]
        found = learnt(standings, done, name, metric.name) if done else None
        if found is None:
            table.add_row("–", name, Text(status_word(own[0]), style="yellow"))
            continue
        mean, seeds = found
        spread = "" if in_groups(seeds, learnable) or not mean.confidence else f" {metric.spread(mean)}"
        told = metric.over_seeds_text(mean, seeds, learnable) + spread
        table.add_row(rank_text(ranks.get(name)), name, told, *(of(done) for of in shown.values()))
    return table


def _diverged(done: list[Record]) -> str:
    return diverged_text(done) or "0"


def _own_parameters(done: list[Record]) -> str:
    return _typical(done, "mechanism_parameters", lambda own: f"+{count(own)}")


def _time_to_target(done: list[Record]) -> str:
    """The median over the seeds that reached the target, and their number if not all did; "never" if none did, "-" without times."""
    reached = sum(map(reached_target, done))
    if not reached:
        return "never"
    return _typical(done, "time_to_target_s", seconds) + (f" ({reached}/{len(done)})" if reached < len(done) else "")


def _typical(records: Iterable[Record], metric: str, show: Callable[[float], str]) -> str:
    """The median over the seeds that have the metric."""
    found = [value for record in records if (value := single(record, metric)) is not None]
    return show(median(found)) if found else "-"


def print_average_ranks(aggregate: Aggregate, out: Console) -> None:
    """Print the average ranks over the tasks of one bench, their critical difference, and what they leave out; nothing without ranks."""
    found = aggregate.found
    if found is None:
        return
    table = new_table("average rank", "variant", "not told apart from", left=("variant", "not told apart from"))
    for label, rank, others in zip(aggregate.labels, found.ranks, ties(aggregate.labels, found.beats), strict=True):
        everyone = len(others) == len(aggregate.labels) - 1
        table.add_row(f"{rank:.2f}", label, "any" if everyone else ", ".join(others))
    form = "causal" if aggregate.causal else "bidirectional"
    title = f"average rank over {len(aggregate.tasks)} tasks, {form}, residual, protocol {aggregate.protocol}"
    out.print(title, style="bold", markup=False, highlight=False)
    names = ", ".join(task.partition(" (")[0] for task in aggregate.tasks)
    lengths = lengths_text(aggregate.tasks)
    of_lengths = f" ({lengths})" if lengths else ""
    bench = {**dict(zip(BENCH, aggregate.bench, strict=True)), "torch": ""}
    bench["threads"] = threads_text(bench["threads"])
    out.print(f"{names}{of_lengths}; {', '.join(filter(None, bench.values()))}", style="dim", markup=False, highlight=False)
    out.print(
        f"Told apart beyond {found.critical_difference:.2f} ranks (Nemenyi, 5 %) if at all (Friedman, p = {found.friedman_p:.2g}).",
        style="dim", markup=False, highlight=False,
    )  # fmt: skip
    for what in aggregate.left_out:
        out.print(f"left out: {what}", style="dim", markup=False, highlight=False)
    print_table(out, table)
    out.print()
