"""The leaderboard: one table per setting, mode and size, mechanisms in the order of their ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from attnbench.record import Record
from attnbench.render.costs import Extra, cost_table
from attnbench.render.learnt import learnt_table
from attnbench.render.metric import metric_of
from attnbench.render.quantity import plain
from attnbench.render.results import Axis, Group, Results, over_seeds, single
from attnbench.render.scaling import growth
from attnbench.render.tables import EMPTY, Cell, Column, exponent_cell, href, status_cell
from attnbench.render.view import View


def views(results: Results) -> list[View]:
    """Every table of the leaderboard, the default first."""
    return [*_kernel_views(results), *_depth_views(results), *_task_views(results)]


def _kernel_views(results: Results) -> list[View]:
    found = []
    for group in results.groups("kernel"):
        learnt = [_learnt(results, task) for task in _tasks_beside(results, group)]
        for mode in ("training", "forward", "decode"):
            of_mode = [r for r in group.records if r.spec.mode == mode]
            for seq_len in by_coverage(of_mode, lambda r: r.spec.seq_len):
                chosen = [r for r in of_mode if r.spec.seq_len == seq_len]
                axes = (Axis("track", "kernel", "kernel"), *group.axes, Axis("mode", mode, mode))
                axes += (Axis("seq_len", str(seq_len), f"{seq_len:,}"),)
                setting = f"Kernel, {mode}, seq_len {seq_len:,} · {group.title}"
                extras = [_growth(results, of_mode), *learnt, _cells(group)]
                found.append(View(axes, [cost_table(results, chosen, f"{mode}_s", setting, extras)], setting))
    return found


def _depth_views(results: Results) -> list[View]:
    found = []
    for group in results.groups("depth"):
        for block in sorted({str(r.spec.block) for r in group.records}):
            of_block = [r for r in group.records if r.spec.block == block]
            for layers in by_coverage(of_block, lambda r: r.spec.num_layers):
                chosen = [r for r in of_block if r.spec.num_layers == layers]
                axes = (Axis("track", "depth", "depth"), *group.axes, Axis("block", block, block))
                axes += (Axis("num_layers", str(layers), f"{layers} layers"),)
                setting = f"Depth, {block}, {layers} layers · {group.title}"
                extras = [
                    _single("Condition", "input-output Jacobian", "jacobian_condition"),
                    _single("Condition", "attention alone", "attention_jacobian_condition"),
                    _single("Effective rank", "of 16 tokens", "effective_rank"),
                    _single("Gradient norm", "at initialisation", "gradient_norm"),
                ]
                found.append(View(axes, [cost_table(results, chosen, f"{chosen[0].spec.mode}_s", setting, extras)], setting))
    return found


def _task_views(results: Results) -> list[View]:
    return [
        View((Axis("track", "task", "task"), *group.axes), [learnt_table(results, group)], f"Task · {group.title}")
        for group in results.groups("task")
    ]


def by_coverage(records: Sequence[Record], of: Callable[[Record], int | None]) -> list[int]:
    """Sizes, first the largest at which most variants have data, then the others from large to small."""
    sizes = sorted({s for r in records if (s := of(r))}, reverse=True)
    counts = {size: len({r.spec.variant for r in records if of(r) == size and r.status == "ok"}) for size in sizes}
    first = max(sizes, key=lambda s: (counts[s], s), default=None)
    return sorted(sizes, key=lambda s: s != first)


def _growth(results: Results, records: Sequence[Record]) -> Extra:
    def show(record: Record) -> Cell:
        declared = results.declared.get(record.spec.variant)
        mine = [r for r in records if results.label(r) == results.label(record)]
        found, lengths = growth(mine, f"{record.spec.mode}_s")
        return exponent_cell(found, declared.time_exponent if declared else None, lengths)

    return Column("Growth", "of time"), show


def _tasks_beside(results: Results, group: Group) -> list[Group]:
    """For every task the best covered group of the same hardware and dtype."""
    found: dict[str, Group] = {}
    for task in results.groups("task"):
        if task.device == group.device:
            found.setdefault(str(task.records[0].spec.task), task)
    return [found[name] for name in sorted(found)]


def _learnt(results: Results, group: Group) -> Extra:
    metric = metric_of(group.records)

    def show(record: Record) -> Cell:
        seeds = [r for r in group.records if results.label(r) == results.label(record)]
        found = over_seeds(seeds, metric.name)
        if not found:
            return replace(status_cell(results, seeds[0]), small="") if seeds else EMPTY  # the reason would make a tall row: on demand
        mean, _ = found
        return Cell(metric.show(mean.value), metric.spread(mean), group.title, href(results, seeds[0]))

    return Column(f"{group.records[0].spec.task}", f"test {metric.title}"), show


def _cells(group: Group) -> Extra:
    def show(record: Record) -> Cell:
        mine = [r for r in group.records if r.spec.variant == record.spec.variant]
        ok = sum(r.status == "ok" for r in mine)
        trust = "rerun" if all(r.origin.trust == "rerun" for r in mine) else "self-reported"
        return Cell(f"{ok} of {len(mine)}", trust, "cells of this setting that gave numbers; who vouches for them")

    return Column("Cells ok", "trust"), show


def _single(title: str, small: str, metric: str) -> Extra:
    def show(record: Record) -> Cell:
        value = single(record, metric)
        if value is None:
            return Cell("diverged", kind="number warn") if single(record, "diverged") else EMPTY
        return Cell("≥ 10¹⁵", "saturated") if metric.endswith("jacobian_condition") and value >= 1e15 else Cell(plain(value))

    return Column(title, small), show
