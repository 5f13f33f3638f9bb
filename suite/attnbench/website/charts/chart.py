"""Makes charts: a plotly figure, whose colours are CSS variables, and the same data as a table."""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from attnbench.analysis.labels import clip
from attnbench.website.charts.reference import Reference
from attnbench.website.charts.scales import LARGEST_POWER, Scale
from attnbench.website.palette import CORE, Style
from attnbench.website.tables.table import Cell, Column, Table

HEIGHT = 330
MARGINS = {"t": 12, "b": 48}
FAILURE_MARKERS = {"oom": "x", "timeout": "hourglass", "error": "asterisk-open", "incorrect": "asterisk-open"}


@dataclass(frozen=True)
class Point:
    """A measured point. low, high: bounds of y; note: added to the text that a pointer shows; hollow: draw only the outline."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    note: str = ""
    hollow: bool = False


@dataclass(frozen=True)
class Line:
    label: str
    style: Style
    points: Sequence[Point]


@dataclass(frozen=True)
class Failure:
    """A mechanism that gave no number; drawn at the top of the plot, at the first size where it failed."""

    label: str
    style: Style
    x: float
    status: str
    text: str


@dataclass(frozen=True)
class Chart:
    """A titled plot, the table of its numbers, and notes below it, such as what could not be drawn."""

    title: str
    figure: Mapping[str, Any]
    table: Table
    notes: Sequence[str] = field(default_factory=tuple)
    kind: str = "chart"

    @property
    def height(self) -> int:
        return int(self.figure["layout"]["height"])


def line_chart(
    title: str, x: Scale, y: Scale, lines: Sequence[Line], failures: Sequence[Failure] = (), caption: str = "",
    notes: Sequence[str] = (), reference: Reference | None = None, marks: Sequence[Line] = (),
    marked: bool = True,
) -> Chart:  # fmt: skip
    """A chart of lines, labelled at their right ends; failures are crosses along the top, marks are rings with an interval in x.

    In a browser those of CORE and those that the reader selected are drawn strong and labelled, others faint where there are many.
    marked: whether every point gets a marker; hundreds of markers would hide the line.
    """
    y = _with_room(y, failures)
    data = [
        *(_trace(line, x, y, "lines+markers" if marked else "lines") for line in lines),
        *_failure_traces(failures, y),
        *(_mark_trace(mark) for mark in marks),
    ]
    shape = layout(x, y, HEIGHT, _margin(lines)) | {"annotations": _labels(lines, x, y)}
    by_text: dict[str, list[str]] = {}
    for failure in failures:
        by_text.setdefault(failure.text, []).append(failure.label)
    shown = [*notes, *(f"{text}: {', '.join(labels)}" for text, labels in sorted(by_text.items()))]
    if reference:
        shape |= reference.shapes(y, "y")
        shown.append(reference.told(y))
    return Chart(title, {"data": data, "layout": shape}, _lines_table(caption or title, x, y, lines, failures), tuple(shown))


def scatter_chart(
    title: str, x: Scale, y: Scale, points: Sequence[Line], caption: str = "", notes: Sequence[str] = (), joined: bool = False
) -> Chart:  # fmt: skip
    """A chart with one labelled point per variant, such as its test result against its cost; or, joined, with several."""
    data = [_trace(line, x, y, "lines+markers" if joined else "markers") for line in points]
    shape = layout(x, y, HEIGHT, _margin(points)) | {"annotations": _labels(points, x, y)}
    return Chart(title, {"data": data, "layout": shape}, _pairs_table(caption or title, x, y, points), notes)


def _trace(line: Line, x: Scale, y: Scale, mode: str = "lines+markers") -> dict[str, Any]:
    style = line.style
    shown = [p for p in line.points if not (y.kind.log and p.y <= 0) and math.isfinite(p.y)]
    trace: dict[str, Any] = {
        "type": "scatter", "mode": mode, "name": plotly_text(line.label), "meta": {"core": line.label in CORE}, "showlegend": False,
        "cliponaxis": False,
        "x": [p.x for p in shown], "y": [p.y for p in shown],
        "line": {"color": style.colour, "dash": style.dash, "width": 1.75},
        "marker": {"color": style.colour, "symbol": style.marker + _hollow(shown), "size": 7 if mode != "markers" else 11},
        "text": [plotly_text(f"{line.label}, {x.kind.show(p.x)}: {y.kind.show(p.y)}{_range(p, y)}{p.note}") for p in shown],
        "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip
    if any(p.low is not None for p in shown):
        lows, highs = [p.low if p.low is not None else p.y for p in shown], [p.high if p.high is not None else p.y for p in shown]
        trace["error_y"] = error_bar([p.y for p in shown], lows, highs, style)
    return trace


def _hollow(points: Sequence[Point]) -> str:
    return "-open" if points and all(p.hollow for p in points) else ""


def error_bar(values: Sequence[float], lows: Sequence[float], highs: Sequence[float], style: Style) -> dict[str, Any]:
    """Plotly's settings for thin bars from low to high around each value."""
    return {
        "type": "data", "symmetric": False, "color": style.colour, "thickness": 1, "width": 3,
        "array": [h - v for v, h in zip(values, highs, strict=True)],
        "arrayminus": [v - low for v, low in zip(values, lows, strict=True)],
    }  # fmt: skip


def _mark_trace(mark: Line) -> dict[str, Any]:
    """A ring at a point of interest; its low and high are bounds of x."""
    (point,) = mark.points
    return {
        "type": "scatter", "mode": "markers", "name": plotly_text(mark.label), "showlegend": False, "x": [point.x], "y": [point.y],
        "marker": {"symbol": "circle-open", "size": 11, "color": mark.style.colour, "line": {"width": 2}},
        "error_x": error_bar([point.x], [point.low or point.x], [point.high or point.x], mark.style),
        "text": [plotly_text(mark.label + point.note)], "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip


def _failure_traces(failures: Sequence[Failure], y: Scale) -> list[dict[str, Any]]:
    """Marks below the top edge, one under the other where several mechanisms fail at one size."""
    traces, at, step = [], dict.fromkeys((f.x for f in failures), 0), _failure_step(failures)
    for failure in failures:
        top = y.high - (0.03 + step * at[failure.x]) * (y.high - y.low)
        at[failure.x] += 1
        traces.append(
            {
                "type": "scatter", "mode": "markers", "showlegend": False, "cliponaxis": False, "name": plotly_text(failure.label),
                "x": [failure.x], "y": [10.0 ** min(top, LARGEST_POWER) if y.kind.log else top],
                "marker": {
                    "symbol": FAILURE_MARKERS.get(failure.status, "x"), "size": 8, "color": failure.style.colour,
                    "line": {"width": 1, "color": failure.style.colour},
                },
                "text": [plotly_text(f"{failure.label}: {clip(failure.text, 120)}")], "hovertemplate": "%{text}<extra></extra>",
            }
        )  # fmt: skip
    return traces


def _with_room(y: Scale, failures: Sequence[Failure]) -> Scale:
    """The scale with room above the lines for the largest number of failures at one size."""
    if not failures:
        return y
    share = 0.06 + _failure_step(failures) * _most_at_once(failures)
    return replace(y, high=y.high + (y.high - y.low) * share / (1 - share))


def _failure_step(failures: Sequence[Failure]) -> float:
    return min(0.055, 0.2 / _most_at_once(failures)) if failures else 0.0


def _most_at_once(failures: Sequence[Failure]) -> int:
    return max(Counter(f.x for f in failures).values())


def _labels(lines: Sequence[Line], x: Scale, y: Scale) -> list[dict[str, Any]]:
    """The name of every line beside its last point; in a browser those that are shown move apart where they would overlap."""
    ends = [(line, max(line.points, key=lambda p: p.x)) for line in lines if line.points]
    return [
        {
            "xref": "x", "x": round(x.place(end.x), 6), "xanchor": "left", "xshift": 8, "yref": "y", "y": round(y.place(end.y), 6),
            "yanchor": "middle", "text": plotly_text(clip(line.label, 20)), "showarrow": False,
            "font": {"color": line.style.colour, "size": 12}, "name": plotly_text(line.label),
        }
        for line, end in ends
        if end.y > 0 or not y.kind.log
    ]  # fmt: skip


def layout(x: Scale, y: Scale, height: int, right: int) -> dict[str, Any]:
    """Plotly's layout of a chart. The y axis has no title, which would crowd the tick labels: the title of the chart names it."""
    vertical = y.axis()
    del vertical["title"]
    left = 20 + 7 * max((len(text) for text in vertical["ticktext"]), default=4)
    margin = {**MARGINS, "l": left, "r": right}
    return {"height": height, "margin": margin, "xaxis": x.axis(), "yaxis": vertical, "hovermode": "closest"}


def _margin(lines: Sequence[Line]) -> int:
    return 20 + 7 * max((len(clip(line.label, 20)) for line in lines), default=0)


def _lines_table(caption: str, x: Scale, y: Scale, lines: Sequence[Line], failures: Sequence[Failure]) -> Table:
    sizes = sorted({p.x for line in lines for p in line.points} | {f.x for f in failures})
    failed = {(f.label, f.x): f for f in failures}
    labels = list(dict.fromkeys([*(line.label for line in lines), *(f.label for f in failures)]))
    points = {(line.label, p.x): p for line in lines for p in line.points}

    def cell(label: str, at: float) -> Cell:
        if (label, at) in points:
            point = points[label, at]
            return Cell(y.kind.show(point.y), _range(point, y).strip())
        failure = failed.get((label, at))
        return Cell(failure.status, title=failure.text) if failure else Cell("–", kind="number none")

    columns = [Column("variant", kind="text"), *(Column(f"{x.kind.show(at)}", x.kind.title) for at in sizes)]
    return Table(caption, columns, [[Cell(clip(label, 60), kind="head"), *(cell(label, at) for at in sizes)] for label in labels])


def _pairs_table(caption: str, x: Scale, y: Scale, points: Sequence[Line]) -> Table:
    rows = [
        [Cell(clip(line.label, 60), kind="head"), Cell(x.kind.show(p.x)), Cell(y.kind.show(p.y), _range(p, y).strip())]
        for line in points
        for p in line.points
    ]
    return Table(caption, [Column("variant", kind="text"), Column(x.kind.title), Column(y.kind.title)], rows)


def _range(point: Point, y: Scale) -> str:
    return "" if point.low is None or point.high is None else f" [{y.kind.show(point.low)}, {y.kind.show(point.high)}]"


def plotly_text(text: str) -> str:
    """Text escaped for plotly, which reads a few HTML tags."""
    return html.escape(text, quote=False)
