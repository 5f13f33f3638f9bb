"""`attnbench show`: the newest record of every cell as terminal tables, one row a variant, failures in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from attnbench.drift import Drifts
from attnbench.errors import BadInput, unknown_name
from attnbench.frame import newest
from attnbench.record import Record
from attnbench.render.quantity import count, percent, seconds, size
from attnbench.render.results import status_word
from attnbench.spec import Spec
from attnbench.stats import exponent, mean_interval, median_interval
from attnbench.store import Problem, Store

Setting = tuple[object, ...]


def show_results(results: Path, track: str | None, variant: str | None, out: Console, err: Console) -> None:
    """Print the tables of a results folder.

    Raises BadInput when the folder is missing, holds nothing, or has no such track or variant.
    """
    problems: list[Problem] = []
    stored = list(Store(results).read(problems))
    records = newest(stored)
    for problem in problems:
        err.print(f"skipped an unreadable line: {problem}", style="yellow", markup=False, soft_wrap=True)
    if not records:
        raise BadInput(f"{results} holds no records yet; run `attnbench run --results {results}` first")
    for what, wanted in (("track", track), ("variant", variant)):
        known = {getattr(record.spec, what) for record in records}
        if wanted is not None and wanted not in known:
            raise unknown_name(what, wanted, known, f"what {results} holds")
    chosen = [r for r in records if track in (None, r.spec.track) and variant in (None, r.spec.variant)]
    for rows in _grouped(chosen, _setting).values():
        spec = rows[0].spec
        if spec.track == "task":
            _print(_task_table(rows), "accuracy and cost", rows, out)
        else:
            along = "seq_len" if spec.track == "kernel" else "num_layers"
            _print(_growth_table(rows, along, f"{spec.mode}_s", seconds), f"wall clock by {along}", rows, out)
            _print(_growth_table(rows, along, "peak_memory_bytes", size), f"peak memory by {along}", rows, out)
    for (machine, session), flag in Drifts(stored).flags().items():
        if any((record.machine, record.session) == (machine, session) for record in chosen):
            out.print(f"flagged: the times of session {session} do not rank: {flag}", style="yellow", markup=False, highlight=False)
    failed = [record for record in chosen if record.status != "ok"]
    for record in failed:
        out.print(f"{record.status}: {record.spec.label()}: {_first_line(record)}", style="yellow", markup=False, highlight=False)


def _setting(record: Record) -> Setting:
    """What rows of one table share: other hardware, dtypes or shapes are never mixed."""
    s = record.spec
    shape = (s.batch_size, s.num_heads, s.head_dim)
    if s.track == "kernel":
        return (s.track, record.machine, s.device, s.dtype, s.causal, shape, s.mode)
    if s.track == "depth":
        return (s.track, record.machine, s.device, s.dtype, s.causal, shape, s.seq_len, s.block)
    return (s.track, record.machine, s.device, s.dtype, shape, s.task, s.data, s.block, s.num_layers, s.epochs, s.lr)


def _growth_table(rows: list[Record], along: str, metric: str, show: Callable[[float], str]) -> Table:
    """Variants down, lengths or depths across, and the exponent of growth over all that gave a number."""
    places = sorted({getattr(record.spec, along) for record in rows})
    table = _table()
    table.add_column("variant", no_wrap=True)
    for place in places:
        table.add_column(f"{place:,}", justify="right", no_wrap=True)
    table.add_column("growth", justify="right", no_wrap=True)
    for variant, own in _grouped(rows, lambda record: record.spec.variant).items():
        found = {getattr(record.spec, along): record for record in own}
        medians = {p: median_interval(r.measurements[metric]).value for p, r in found.items() if metric in r.measurements}
        cells = [_cell(found.get(place), medians.get(place), show) for place in places]
        growth = exponent(list(medians), list(medians.values())).value if len(medians) > 1 else None
        slope = "-" if growth is None else f"{'n' if along == 'seq_len' else 'L'}^{growth:.2f}"
        table.add_row(variant, *cells, slope)
    return table


def _task_table(rows: list[Record]) -> Table:
    table = _table()
    for column in ("variant", "accuracy", "95 %", "seeds", "train", "tokens/s", "memory", "params"):
        table.add_column(column, justify="left" if column == "variant" else "right", no_wrap=True)
    for variant, own in _grouped(rows, lambda record: record.spec.variant).items():
        done = [record for record in own if record.status == "ok"]
        if not done:
            table.add_row(variant, Text(status_word(own[0]), style="yellow"))
            continue
        accuracy = mean_interval([record.measurements["accuracy"][0] for record in done])
        interval = f"{percent(accuracy.low)} to {percent(accuracy.high)}" if len(done) > 1 else "-"
        diverged = sum(record.measurements["diverged"][0] for record in done)
        table.add_row(
            variant,
            percent(accuracy.value) + (f" ({diverged:.0f} diverged)" if diverged else ""),
            interval,
            str(len(done)),
            seconds(_median(done, "train_s")),
            count(_median(done, "training_tokens_per_s")),
            size(_median(done, "peak_memory_bytes")),
            count(_median(done, "parameters")),
        )
    return table


def _print(table: Table, title: str, rows: list[Record], out: Console) -> None:
    spec: Spec = rows[0].spec
    what = {
        "kernel": f"kernel · {spec.mode}{' · causal' if spec.causal else ''}",
        "depth": f"depth · {spec.block} · {spec.mode} · seq_len {spec.seq_len}",
        "task": f"task · {spec.task} · {spec.block} · {spec.depth_label()} · {spec.epochs} epochs",
    }[spec.track]
    shape = f"batch {spec.batch_size}, {spec.num_heads} heads, head_dim {spec.head_dim}, {spec.dtype}, {spec.device}"
    majority = next((r.measurements["majority_share"][0] for r in rows if "majority_share" in r.measurements), None)
    if majority is not None:
        shape += f", majority class {percent(majority)}"
    out.print(f"[bold]{what} · {title}[/]\n[dim]{shape}, {rows[0].machine}[/]", highlight=False)
    out.print(table)
    out.print()


def _table() -> Table:
    return Table(box=None, pad_edge=False, header_style="dim")


def _cell(record: Record | None, value: float | None, show: Callable[[float], str]) -> Text:
    if value is not None:
        return Text(show(value))
    return Text("" if record is None else status_word(record), style="yellow")


def _median(records: Iterable[Record], metric: str) -> float:
    return median_interval([record.measurements[metric][0] for record in records]).value


def _first_line(record: Record) -> str:
    return (record.reason or "no reason given").splitlines()[0]


def _grouped(records: Iterable[Record], key: Callable[[Record], Any]) -> dict[Any, list[Record]]:
    groups: dict[Any, list[Record]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return groups
