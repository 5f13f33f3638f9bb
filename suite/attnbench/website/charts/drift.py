"""Makes the chart of the drift anchor over cells, which shows whether a machine kept its speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from attnbench.analysis.number_format import seconds
from attnbench.store.record import Record
from attnbench.website.charts.chart import Chart, Line, Point, line_chart
from attnbench.website.charts.scales import CELL, TIME, spaced
from attnbench.website.palette import DASHES, NEUTRAL
from attnbench.website.tables.table import Cell, Column, Table

MOST = 400  # points that are drawn of a session; if it has more, every second, third, ... of them
SESSIONS = 4


def drift_chart(name: str, sessions: Sequence[tuple[str, Sequence[Record]]]) -> Chart | None:
    """The chart of the anchor's median in every cell of the newest sessions; None where no cell has it."""
    lines = []
    for turn, (session, records) in enumerate(sessions[:SESSIONS]):
        times = [median(samples) for r in records if (samples := r.measurements.get("drift_anchor_s"))]
        step = -(-len(times) // MOST)
        points = (
            [Point(float(place + 1), time) for place, time in enumerate(times) if place % step == 0 and 0 < time < 1e150] if step else []
        )
        if points:
            lines.append(Line(session[-6:], replace(NEUTRAL, dash=DASHES[turn]), points))
    rows = [[Cell(line.label, kind="head code"), Cell(seconds(median(p.y for p in line.points)))] for line in lines]
    table = Table(f"Drift anchor on {name}", [Column("Session", kind="text"), Column("Median")], rows)
    x = spaced(CELL, [p.x for line in lines for p in line.points])
    y = spaced(TIME, [p.y for line in lines for p in line.points], room=0.2)
    note = "One fixed call of softmax, timed beside every cell. A flat line is a machine that kept its speed."
    if x is None or y is None:
        return None
    return replace(line_chart("Drift anchor, cell by cell", x, y, lines, notes=(note,), marked=False), table=table)
