"""Makes charts of seeds as dots: one row per mechanism, with every seed, their mean and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attnbench.analysis.labels import clip
from attnbench.stats import Interval
from attnbench.website.charts.chart import Chart, error_bar, layout, plotly_text
from attnbench.website.charts.reference import Reference
from attnbench.website.charts.scales import Scale
from attnbench.website.palette import Style
from attnbench.website.tables.table import EMPTY, Cell, Column, Table

Row = tuple[str, Style, Interval | None, Sequence[float]]  # without a mean where none stands for the seeds


def dot_chart(
    title: str,
    x: Scale,
    rows: Sequence[Row],
    caption: str = "",
    reference: Reference | None = None,
    notes: Sequence[str] = (),
    columns: tuple[str, str] = ("mean", "interval"),
) -> Chart:
    """A chart with a row per variant: a ring for every seed, a filled mark for the mean, with its interval.

    columns: the titles of these in the chart's table.
    """
    data: list[dict[str, Any]] = []
    for row, (label, style, mean, seeds) in enumerate(rows):
        if len(seeds) > 1:
            data.append(
                {
                    "type": "scatter", "mode": "markers", "x": list(seeds), "y": [row] * len(seeds), "showlegend": False,
                    "marker": {"symbol": "circle-open", "size": 8, "color": style.colour, "line": {"width": 1.25}},
                    "text": [plotly_text(f"{label}, one seed: {x.kind.show(seed)}") for seed in seeds],
                    "hovertemplate": "%{text}<extra></extra>",
                }
            )  # fmt: skip
        if mean is None:
            continue
        spread = plotly_text(f"{label}: {x.kind.show(mean.value)}{_bounds(mean, x)}")
        data.append(
            {
                "type": "scatter", "mode": "markers", "x": [mean.value], "y": [row], "showlegend": False,
                "marker": {"symbol": style.marker, "size": 10, "color": style.colour},
                "text": [spread], "hovertemplate": "%{text}<extra></extra>",
                "error_x": error_bar([mean.value], [mean.low], [mean.high], style) if mean.confidence else {"visible": False},
            }
        )  # fmt: skip
    height = max(150, (34 if len(rows) <= 8 else 26) * len(rows) + 80)
    shape = layout(x, x, height, 16)
    shape["yaxis"] = {
        "range": [len(rows) - 0.5, -0.5], "tickvals": list(range(len(rows))), "zeroline": False, "showgrid": True,
        "ticktext": [plotly_text(clip(label, 22)) for label, *_ in rows],
    }  # fmt: skip
    shape["margin"]["l"] = 20 + 7 * max((len(clip(label, 22)) for label, *_ in rows), default=0)
    table = Table(
        caption or title,
        [Column("variant", kind="text"), *map(Column, columns), Column("seeds")],
        [
            [Cell(clip(label, 60), kind="head"),
             *((Cell(x.kind.show(mean.value)), Cell(_bounds(mean, x).strip() or "1 seed, no interval")) if mean else (EMPTY, EMPTY)),
             Cell(", ".join(x.kind.show(seed) for seed in seeds))]
            for label, _, mean, seeds in rows
        ],
    )  # fmt: skip
    if reference is None:
        return Chart(title, {"data": data, "layout": shape}, table, notes)
    return Chart(title, {"data": data, "layout": shape | reference.shapes(x, "x")}, table, (*notes, reference.told(x)))


def _bounds(interval: Interval, x: Scale) -> str:
    return f" [{x.kind.show(interval.low)}, {x.kind.show(interval.high)}]" if interval.confidence else ""
