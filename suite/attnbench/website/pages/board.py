"""The leaderboard: one table per setting, mode and size, with the mechanisms in the order of their ranks."""

from __future__ import annotations

from urllib.parse import urlencode

from attnbench.analysis.number_format import plain, rank_text
from attnbench.analysis.overall import Aggregate, lengths_text
from attnbench.analysis.samples import by_coverage, single
from attnbench.analysis.standings import AveragePlace
from attnbench.store.record import Record
from attnbench.website.groups import BENCH_AXES, Axis, axes
from attnbench.website.results import Results
from attnbench.website.tables.checks import Checks
from attnbench.website.tables.costs import Extra, cost_table
from attnbench.website.tables.learnt import learnt_table
from attnbench.website.tables.table import EMPTY, Cell, Column, Value, bounds_data, exponent_cell
from attnbench.website.view import View


def views(results: Results, checks: Checks) -> list[View]:
    """Every table of the leaderboard, the default first."""
    return [*_kernel_views(results, checks), *_depth_views(results, checks), *_task_views(results)]


def _kernel_views(results: Results, checks: Checks) -> list[View]:
    found = []
    for group in results.groups("kernel"):
        for mode in ("training", "forward", "decode"):
            of_mode = [r for r in group.records if r.spec.mode == mode]
            for seq_len in by_coverage(of_mode, lambda r: r.spec.seq_len):
                chosen = [r for r in of_mode if r.spec.seq_len == seq_len]
                extras = [_task_rank(results, chosen[0]), _growth(results), _checks(checks)]
                axes = (Axis("track", "kernel", "kernel"), *group.axes, Axis("mode", mode, mode))
                axes += (Axis("seq_len", str(seq_len), f"{seq_len:,}"),)
                setting = f"Kernel, {mode}, seq_len {seq_len:,} · {group.title}"
                found.append(View(axes, [cost_table(results, chosen, setting, extras)], setting, group.name))
    return found


def _depth_views(results: Results, checks: Checks) -> list[View]:
    found = []
    extras = [
        _single("Condition", "of the Jacobian", "jacobian_condition"),
        _single("Condition", "attention alone", "attention_jacobian_condition"),
        _single("Effective rank", "of 16 tokens", "effective_rank", falling=True),
        _single("Gradient norm", "at initialisation", "gradient_norm"),
        _checks(checks),
    ]  # fmt: skip
    for group in results.groups("depth"):
        for block in sorted({str(r.spec.block) for r in group.records}):
            of_block = [r for r in group.records if r.spec.block == block]
            for layers in by_coverage(of_block, lambda r: r.spec.num_layers):
                chosen = [r for r in of_block if r.spec.num_layers == layers]
                axes = (Axis("track", "depth", "depth"), *group.axes, Axis("block", block, block))
                axes += (Axis("num_layers", str(layers), chosen[0].spec.depth_label()),)
                setting = f"Depth, {block}, {chosen[0].spec.depth_label()} · {group.title}"
                found.append(View(axes, [cost_table(results, chosen, setting, extras)], setting, group.name))
    return found


def _task_views(results: Results) -> list[View]:
    return [
        View((Axis("track", "task", "task"), *group.axes), [learnt_table(results, group)], f"Task · {group.title}", group.name)
        for group in results.groups("task")
    ]


def _growth(results: Results) -> Extra:
    def show(record: Record) -> Cell:
        return exponent_cell(results.standings.growth("time", record).get(results.label(record)))

    def data(record: Record) -> dict[str, Value]:
        grown = results.standings.growth("time", record).get(results.label(record))
        exponent = grown.exponent if grown else None
        return {**bounds_data("time_exponent", exponent), "claimed_time_exponent": grown.claimed if grown else None}

    return Extra(Column("Growth", "(claim)", key="time_exponent"), show, data)


def _task_rank(results: Results, timed: Record) -> Extra:
    """The column of the average rank over the tasks of the same bench, with the range of places that the critical difference leaves.

    Its head says of which sequence lengths the tasks are, and a note beside it that of the times.
    """
    over = results.standings.over_tasks(timed)
    lengths = lengths_text(over.tasks) if over else ""
    note = f"Task ranks are of tasks at {lengths}; the times are at N {timed.spec.seq_len:,}." if lengths else ""

    def show(record: Record) -> Cell:
        over, place = _over_tasks(results, record)
        if over is None or place is None:
            return EMPTY
        told = f"average rank over {', '.join(over.tasks)}, residual models"
        return Cell(
            f"{place.rank:.1f}", f"({rank_text(place.range)})", told, f"accuracy.html#{urlencode({**_bench(record), 'to': 'over-tasks'})}"
        )

    def data(record: Record) -> dict[str, Value]:
        _, place = _over_tasks(results, record)
        return {"mean_task_rank": place.rank if place else None}

    return Extra(Column("Task rank", f"at {lengths}" if lengths else "(range)", key="mean_task_rank"), show, data, note)


def _bench(record: Record) -> dict[str, str]:
    """The parameters in a page's address that show the record's bench."""
    return {axis.name: axis.value for axis in axes(record) if axis.name in BENCH_AXES}


def _over_tasks(results: Results, record: Record) -> tuple[Aggregate | None, AveragePlace | None]:
    over = results.standings.over_tasks(record)
    return over, results.standings.average_places(record).get(results.label(record))


def _checks(checks: Checks) -> Extra:
    def data(record: Record) -> dict[str, bool | None]:
        report = checks.of(record)
        return {"checks_hold": report.ok if report else None}

    return Extra(Column("Checks", "held"), checks.cell, data)


def _single(title: str, small: str, metric: str, falling: bool = False) -> Extra:
    def show(record: Record) -> Cell:
        value = single(record, metric)
        if value is None:
            return Cell("diverged", kind="number warn") if single(record, "diverged") else EMPTY
        return Cell("≥ 10¹⁵", "saturated") if metric.endswith("jacobian_condition") and value >= 1e15 else Cell(plain(value))

    return Extra(Column(title, small, key=metric, falling=falling), show, lambda record: {metric: single(record, metric)})
