"""The leaderboard: one table per setting, mode and size, with the mechanisms in the order of their ranks."""

from __future__ import annotations

from collections.abc import Sequence

from attnbench.analysis.labels import clip
from attnbench.analysis.samples import BASELINE, by_coverage
from attnbench.store.record import Record
from attnbench.website.groups import MODES, Axis, mode_axis
from attnbench.website.pages.board_columns import checks_held, kernel_columns, state
from attnbench.website.pages.opening import opening
from attnbench.website.results import Results
from attnbench.website.tables.checks import Checks
from attnbench.website.tables.costs import cost_table
from attnbench.website.tables.learnt import learnt_table
from attnbench.website.view import View


def views(results: Results, checks: Checks) -> list[View]:
    """Every table of the leaderboard, the one that the page opens on first."""
    return [*_kernel_views(results, checks), *_depth_views(results, checks), *_task_views(results), *_step_views(results, checks)]


def _kernel_views(results: Results, checks: Checks) -> list[View]:
    found, opens = [], opening(results)
    for group in results.groups("kernel"):
        for mode in MODES:
            of_mode = [r for r in group.records if r.spec.mode == mode]
            for seq_len in by_coverage(of_mode, lambda r: r.spec.seq_len):
                chosen = [r for r in of_mode if r.spec.seq_len == seq_len]
                extras = kernel_columns(results, checks, chosen)
                axes = (Axis("track", "kernel", "kernel"), *group.axes, mode_axis(mode))
                axes += (Axis("seq_len", str(seq_len), f"{seq_len:,}"),)
                setting = f"Kernel, {mode}, seq_len {seq_len:,} · {group.title}{backend_text(results, chosen)}"
                view = View(axes, [cost_table(results, chosen, setting, extras)], setting, group.name)
                found.append((opens != (group, mode, seq_len), view))
    return [view for _, view in sorted(found, key=lambda pair: pair[0])]


def backend_text(results: Results, records: Sequence[Record]) -> str:
    """The kernel that softmax used in these cells, as the end of a title; "" where the records do not say."""
    said = {str(r.environment["softmax_backend"]) for r in records if r.environment.get("softmax_backend")}
    return f", {BASELINE} by {clip(' and '.join(sorted(said)), 60)}" if said else ""


def _depth_views(results: Results, checks: Checks) -> list[View]:
    found = []
    extras = [
        state("Condition", "of the Jacobian", "jacobian_condition"),
        state("Condition", "attention alone", "attention_jacobian_condition"),
        state("Effective rank", "of 16 tokens", "effective_rank", falling=True),
        state("Gradient norm", "at initialisation", "gradient_norm"),
        checks_held(checks),
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


def _step_views(results: Results, checks: Checks) -> list[View]:
    found = []
    for group in results.groups("step"):
        setting = f"Training step · {group.title}"
        table = cost_table(results, group.records, setting, [checks_held(checks)])
        found.append(View((Axis("track", "step", "training step"), *group.axes), [table], setting, group.name))
    return found
