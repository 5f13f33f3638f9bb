"""The depth page: costs against num_layers, and the state of stacks at initialisation, residual beside skipless."""

from __future__ import annotations

from collections.abc import Sequence

from attnbench.analysis.samples import by_coverage, single
from attnbench.store.metrics import SATURATED
from attnbench.store.record import Record
from attnbench.website.charts.chart import Chart, Line, Point, line_chart
from attnbench.website.charts.scales import CONDITION, FROBENIUS, GRADIENT, LAYERS, MEMORY, RANK, RESIDUAL, TIME, Kind, Scale, exact, spaced
from attnbench.website.groups import Group
from attnbench.website.pages.scaling import call_time, cost_chart, peak_memory
from attnbench.website.results import Results, by_label
from attnbench.website.tables.rows import STATE as STATE_METRICS
from attnbench.website.tables.rows import cost_rows
from attnbench.website.tables.table import failures_table
from attnbench.website.view import Charts, View

# Title, kind, charts by title and metric, lead.
STATE: tuple[tuple[str, Kind, tuple[tuple[str, str], ...], str], ...] = (
    (
        "Condition number", CONDITION,
        (("Condition number", "jacobian_condition"), ("Condition, attention alone", "attention_jacobian_condition")),
        "Condition number of the Jacobian of all outputs by all inputs, in float64, 16 tokens: of the whole blocks, and of their attention "
        "alone, without the MLPs. It saturates at 10¹⁵: beyond that a float64 condition number is rounding, and points on that line mean "
        "“at least 10¹⁵”.",
    ),
    (
        "Effective rank", RANK, (("Effective rank", "effective_rank"),),
        "Effective rank of the output tokens, 16 at most. At 1 all tokens have become parallel: rank collapse.",
    ),
    (
        "Residual of the tokens", RESIDUAL, (("Residual", "dong_residual"),),
        "‖X - 1m‖ / ‖X‖ of the output tokens X with the mean token m, 16 tokens, after Dong et al. 2021. At 0 all tokens have become the "
        "same; tokens whose mean is zero have 1.",
    ),
    (
        "Size of the attention matrix", FROBENIUS, (("‖A‖", "attention_frobenius"),),
        "Frobenius norm of the attention matrix, mean over layers and heads, 16 tokens. An orthogonal matrix has exactly 4.",
    ),
    (
        "Gradient norm", GRADIENT, (("Gradient norm", "gradient_norm"),),
        "Norm of all gradients together after one backward pass at initialisation.",
    ),
)  # fmt: skip


def views(results: Results) -> list[View]:
    """One view per setting."""
    found = []
    for group in results.groups("depth"):
        blocks = [
            _pair("Time", cost_charts(results, group, "time"), "Wall-clock time of one call, median and interval."),
            _pair("Memory", cost_charts(results, group, "memory"), "Peak memory of one call."),
            *(_pair(title, state_charts(results, group, kind, metrics), lead) for title, kind, metrics, lead in STATE),
        ]
        drawn = [block for block in blocks if block.charts]
        nothing = failures_table(results, group.records, f"No cell gave a number · {group.title}")
        found.append(View(group.axes, drawn or [nothing], group.title, group.name, rows=cost_rows(results, group.records, STATE_METRICS)))
    return found


def _pair(title: str, charts: Sequence[Chart], lead: str) -> Charts:
    return Charts(charts, title, lead)


def blocks_of(group: Group) -> list[str]:
    return sorted({str(r.spec.block) for r in group.records})


def cost_charts(results: Results, group: Group, what: str) -> list[Chart]:
    """The charts of time or memory against num_layers, one for each block, on one scale."""
    name, kind, measure = {"time": ("Time", TIME, call_time(results)), "memory": ("Peak memory", MEMORY, peak_memory)}[what]
    found: list[Chart | None] = []
    for block in blocks_of(group):
        records = [r for r in group.records if r.spec.block == block]
        title = f"{name}, {block}"
        caption = f"{title} · {group.title}"
        found.append(cost_chart(results, records, title, kind, measure, caption, lambda r: r.spec.num_layers, beside=group.records))
    return [chart for chart in found if chart]


def state_charts(results: Results, group: Group, kind: Kind, metrics: Sequence[tuple[str, str]]) -> list[Chart]:
    """A chart for each metric and block, all on one scale, so that they can be compared. metrics: pairs of name and title."""
    values = {metric: [v for r in group.records if (v := single(r, metric)) is not None] for _, metric in metrics}
    y = spaced(kind, [v for found in values.values() for v in found])
    x = exact(LAYERS, [float(n) for n in by_coverage(group.records, lambda r: r.spec.num_layers)])
    if not x or not y:
        return []
    return [
        _state_chart(results, [r for r in group.records if r.spec.block == block], f"{what}, {block}", metric, x, y, group.title)
        for what, metric in metrics
        if values[metric]
        for block in blocks_of(group)
    ]


def _state_chart(results: Results, records: Sequence[Record], title: str, metric: str, x: Scale, y: Scale, setting: str) -> Chart:
    lines, notes, without = [], [], []
    for label, mine in by_label(results, records).items():
        points = [
            Point(float(r.spec.num_layers or 0), v, note=" (saturated)" if metric.endswith("jacobian_condition") and v >= SATURATED else "")
            for r in mine
            if (v := single(r, metric)) is not None
        ]
        if points:
            lines.append(Line(label, results.styles[mine[0].spec.variant], points))
        missing = [r for r in mine if r.status == "ok" and single(r, metric) is None]
        infinite = [str(r.spec.num_layers) for r in missing if single(r, "diverged")]
        if infinite:
            notes.append(f"{label}: not finite at {', '.join(infinite)} layers")
        elif missing:
            without.append(label)
    if without:
        why = "no dense matrix to look at" if metric == "attention_frobenius" else "not measured"
        notes.append(f"{', '.join(without)}: {why}")
    return line_chart(title, x, y, lines, caption=f"{title} · {setting}", notes=notes)
