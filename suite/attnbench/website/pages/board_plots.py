"""The small plots under the leaderboard, one set for each setting of its tables."""

from __future__ import annotations

from collections.abc import Sequence

from attnbench.website.charts.scales import CONDITION
from attnbench.website.groups import MODES, Axis, Group, mode_axis
from attnbench.website.pages.accuracy import charts, pareto
from attnbench.website.pages.depth import blocks_of, cost_charts, state_charts
from attnbench.website.pages.scaling import size_chart
from attnbench.website.results import Results
from attnbench.website.view import Charts, View


def views(results: Results, tables: Sequence[View] = ()) -> list[View]:
    """The plots of every track, those beside the first of the leaderboard's tables first."""
    found = [*_kernel(results), *_depth(results), *_task(results)]
    shown = set(tables[0].axes) if tables else set()
    return sorted(found, key=lambda view: not shown >= set(view.axes))


def _kernel(results: Results) -> list[View]:
    found = []
    for group in results.groups("kernel"):
        beside = next((pareto(results, task, "time") for task in results.groups("task") if _software(task) == _software(group)), None)
        for mode in MODES:
            costs = [size_chart(results, group, mode, what) for what in ("time", "memory")]
            if any(costs):
                axes = (Axis("track", "kernel", "kernel"), *group.axes, mode_axis(mode))
                found.append(View(axes, [Charts([c for c in (*costs, beside) if c])], f"{mode} · {group.title}", group.name))
    return found


def _software(group: Group) -> list[Axis]:
    """What a kernel's and a task's cells share: training runs have one thread, and stand for every machine of an architecture."""
    return [axis for axis in group.device if axis.name not in ("hardware", "threads")]


def _depth(results: Results) -> list[View]:
    found = []
    for group in results.groups("depth"):
        shown = [
            *cost_charts(results, group, "time"),
            *cost_charts(results, group, "memory"),
            *state_charts(results, group, CONDITION, (("Condition number", "jacobian_condition"),)),
        ]
        for block in blocks_of(group):
            axes = (Axis("track", "depth", "depth"), *group.axes, Axis("block", block, block))
            if charts_here := [c for c in shown if c.title.endswith(block)]:
                found.append(View(axes, [Charts(charts_here)], f"{block} · {group.title}", group.name))
    return found


def _task(results: Results) -> list[View]:
    return [
        View((Axis("track", "task", "task"), *group.axes), [Charts(drawn[:3])], group.title, group.name)
        for group in results.groups("task")
        if (drawn := charts(results, group))
    ]
