"""A task's metric by block and num_layers, which shows whether a mechanism learns as well in a deep stack as in a shallow one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attnbench.analysis.samples import BASELINE
from attnbench.analysis.standing import Standing
from attnbench.analysis.task_metrics import GROUPED, Metric, metric_of
from attnbench.stats import in_groups
from attnbench.store.record import Record
from attnbench.website.charts.chart import Chart, Line, Point, line_chart
from attnbench.website.charts.reference import Reference
from attnbench.website.charts.scales import LAYERS, TEST_RESULTS, exact, spaced
from attnbench.website.groups import Axis, Group, chunk_name, recipe
from attnbench.website.links import cell_href
from attnbench.website.results import Results, by_label
from attnbench.website.tables.learnt import Means, means_of
from attnbench.website.tables.table import EMPTY, Cell, Column, Table, interval_text, status_cell, variant_cell
from attnbench.website.view import Charts, View

OF_STACK = ("block", "num_layers", "recipe")  # axes in which the settings of one table differ


def views(results: Results) -> list[View]:
    """One view per task that has results in several blocks or depths."""
    families: dict[tuple[Axis, ...], list[Group]] = {}
    for group in results.groups("task"):
        families.setdefault(tuple(axis for axis in group.axes if axis.name not in OF_STACK), []).append(group)
    found = []
    for axes, groups in families.items():
        if len({stack(group)[:2] for group in groups}) > 1:
            title = ", ".join(axis.label for axis in axes if not axis.usual)
            found.append(_view(results, axes, sorted(groups, key=stack), title))
    return found


def stack(group: Group) -> tuple[str, int, tuple[str, ...]]:
    """Block, num_layers and recipe of a setting."""
    spec = group.records[0].spec
    return str(spec.block), spec.num_layers or 0, recipe(spec)


def _view(results: Results, axes: tuple[Axis, ...], groups: Sequence[Group], title: str) -> View:
    metric = metric_of([record for group in groups for record in group.records])
    seeds = [by_label(results, group.records) for group in groups]
    means = [means_of(results, found, metric) for found in seeds]
    learnable = [metric.learnable(group.records) for group in groups]
    told = _differing([recipe(group.records[0].spec) for group in groups])
    columns = [Column("Variant", kind="text")]
    columns += [Column(f"{stack(group)[0]}, {group.records[0].spec.depth_label()}", text) for group, text in zip(groups, told, strict=True)]
    first = {label: found[label][0] for found in reversed(seeds) for label in found}
    rows = [
        [
            variant_cell(results, first[label]),
            *(_cell(results, metric, label, *place) for place in zip(seeds, means, learnable, strict=True)),
        ]
        for label in sorted(first, key=lambda label: (label != BASELINE, label))
    ]
    notes = (
        f"Better or worse than {BASELINE} in the same column where Welch's test over seeds says so, else undecided.",
        metric.chance_text([record for group in groups for record in group.records]),
        GROUPED if any(in_groups(of, far) for found, far in zip(means, learnable, strict=True) for _, of in found.values()) else "",
    )
    table = Table(f"Test {metric.title} by block and depth · {title}", columns, rows, tuple(note for note in notes if note))
    drawn = _charts(results, metric, groups, means, told, title)
    return View(axes, [table, *([Charts(drawn)] if drawn else [])], title, chunk_name("task", axes))


def _cell(results: Results, metric: Metric, label: str, seeds: dict[str, list[Record]], means: Means, learnable: float) -> Cell:
    if label not in seeds:
        return EMPTY
    if label not in means:
        return status_cell(seeds[label][0])
    mean, of_seeds = means[label]
    grouped = in_groups(of_seeds, learnable)
    spread = "seeds, no mean" if grouped else metric.spread(mean)
    standing = f", {beside(label, results.standings.places('result', seeds[label][0]))}" if label != BASELINE and BASELINE in means else ""
    told = metric.over_seeds_text(mean, of_seeds, learnable)
    return Cell(told, spread + standing, "" if grouped else interval_text(mean, metric.show), cell_href(seeds[label][0]))


def beside(label: str, places: Mapping[str, Standing]) -> str:
    """Whether a mechanism is better or worse than softmax, or undecided, as text."""
    mine, base = places.get(label), places.get(BASELINE)
    if not mine or not base or mine.rank is None or base.rank is None or label in base.ties:
        return "undecided"
    return "better" if mine.ahead_of(base) else "worse"


def _charts(
    results: Results, metric: Metric, groups: Sequence[Group], means: Sequence[Means], told: Sequence[str], title: str
) -> list[Chart]:
    """Charts of the metric against num_layers, one for each block and recipe, all on one scale; none where there is only one depth."""
    panels: dict[tuple[str, str], list[tuple[int, Means]]] = {}
    for group, found, text in zip(groups, means, told, strict=True):
        block, layers, _ = stack(group)
        panels.setdefault((block, text), []).append((layers, found))
    y = spaced(TEST_RESULTS[metric.name], [x for found in means for mean, _ in found.values() for x in (mean.low, mean.high)])
    x = exact(LAYERS, [float(layers) for depths in panels.values() for layers, _ in depths])
    if not x or not y or max(len(depths) for depths in panels.values()) < 2:
        return []
    styles = {results.label(r): results.styles[r.spec.variant] for group in groups for r in group.records}
    known, text = metric.known_nothing([r for group in groups for r in group.records]), metric.chance_text(groups[0].records)
    reference = Reference(known, text) if known is not None else None
    charts = []
    for (block, recipe_text), depths in panels.items():
        name = f"Test {metric.title}, {block}" + (f", {recipe_text}" if recipe_text else "")
        lines = [Line(label, style, points) for label, style in sorted(styles.items()) if (points := _points(label, depths))]
        if lines:
            charts.append(line_chart(name, x, y, lines, caption=f"{name} · {title}", reference=reference))
    return charts


def _points(label: str, depths: Sequence[tuple[int, Means]]) -> list[Point]:
    found = [(layers, means[label][0]) for layers, means in depths if label in means]
    return [
        Point(float(layers), mean.value, *((mean.low, mean.high) if mean.confidence else (None, None))) for layers, mean in found
    ]  # fmt: skip


def _differing(recipes: Sequence[tuple[str, ...]]) -> list[str]:
    """For every recipe, the parts that are not the same in all recipes."""
    same = [len(set(parts)) == 1 for parts in zip(*recipes, strict=True)]
    return [", ".join(part for part, shared in zip(parts, same, strict=True) if not shared) for parts in recipes]
