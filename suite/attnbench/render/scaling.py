"""Cost against seq_len: charts of time and memory, and growth exponents beside the claimed ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attnbench.record import Record
from attnbench.render.charts import Chart, Failure, Line, Point, line_chart
from attnbench.render.results import Group, Results, positive, status_word
from attnbench.render.scales import LAYERS, MEMORY, SEQ_LEN, TIME, Kind, exact, spaced
from attnbench.render.tables import Column, Table, clip, exponent_cell, failures_table, variant_cell
from attnbench.render.view import Charts, View
from attnbench.spec import MODES
from attnbench.stats import Exponent, exponent

LISTED = ("skipped", "unavailable")


def views(results: Results) -> list[View]:
    """One view per setting: time and memory of both modes, and the exponents."""
    found = []
    for group in results.groups("kernel"):
        charts = [
            chart
            for what, kind, metric in (("Time", TIME, "{}_s"), ("Peak memory", MEMORY, "peak_memory_bytes"))
            for mode in MODES
            if (chart := size_chart(results, group, what, kind, metric, mode))
        ]
        if charts:
            blocks: list[Table | Charts] = [Charts(charts), exponents_table(results, group)]
        else:
            blocks = [failures_table(results, group.records, f"No cell gave a number · {group.title}")]
        found.append(View(group.axes, blocks, group.title))
    return found


def size_chart(results: Results, group: Group, what: str, kind: Kind, metric: str, mode: str) -> Chart | None:
    """One cost of one mode against seq_len; None where there is nothing to draw."""
    records = [r for r in group.records if r.spec.mode == mode]
    title = f"{what}, {mode}"
    return cost_chart(results, records, title, kind, metric.format(mode), f"{title} · {group.title}", lambda r: r.spec.seq_len, SEQ_LEN)


def cost_chart(
    results: Results, records: Sequence[Record], title: str, kind: Kind, metric: str, caption: str,
    of: Callable[[Record], int | None], sizes: Kind = LAYERS, beside: Sequence[Record] = (),
) -> Chart | None:  # fmt: skip
    """A positive metric against a size, medians with their intervals, and the first size at which each mechanism failed.

    `beside` are records that the y axis makes room for too, so that two charts can be compared.
    """
    lines, failures, notes = [], [], []
    for label, mine in by_label(results, records).items():
        style = results.styles[mine[0].spec.variant]
        points = [Point(float(of(r) or 0), i.value, i.low, i.high) for r in mine if (i := positive(r, metric))]
        if points:
            lines.append(Line(label, style, points))
        failed = [r for r in mine if r.status != "ok"]
        drawn = next((r for r in failed if r.status not in LISTED), None)
        if drawn:
            text = f"{status_word(drawn)} at {sizes.title} {of(drawn):,}"
            failures.append(Failure(label, style, float(of(drawn) or 0), drawn.status, text))
        listed = next((r for r in failed if r.status in LISTED), None)
        if listed:
            notes.append(f"{label}: {listed.status}" + (f", {clip(listed.reason, 160)}" if listed.reason else ""))
    x = exact(sizes, [float(of(r) or 0) for r in records])
    bounds = [bound for r in (*records, *beside) if (i := positive(r, metric)) for bound in (i.low, i.high)]
    y = spaced(kind, bounds)
    return line_chart(title, x, y, lines, failures, caption, notes) if x and y else None


def by_label(results: Results, records: Sequence[Record]) -> dict[str, list[Record]]:
    """Records by the label of their mechanism, in the order of their sizes."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(results.label(record), []).append(record)
    return found


def growth(records: Sequence[Record], metric: str) -> tuple[Exponent | None, str]:
    """Growth of a metric in seq_len over all lengths that have it, and which those are."""
    pairs = [(r.spec.seq_len, i.value) for r in records if r.spec.seq_len and (i := positive(r, metric))]
    if len({length for length, _ in pairs}) < 2:
        return None, ""
    lengths = [length for length, _ in pairs]
    return exponent(lengths, [cost for _, cost in pairs]), f"{len(set(lengths))} lengths from {min(lengths):,} to {max(lengths):,}"


def exponents_table(results: Results, group: Group) -> Table:
    """Measured growth beside claimed growth."""
    modes = [mode for mode in MODES if any(r.spec.mode == mode for r in group.records)]
    columns = [Column("Variant", kind="text")]
    columns += [Column(f"{what}, {mode}", "measured, claimed") for what in ("Time", "Memory") for mode in modes]
    rows = []
    for mine in by_label(results, group.records).values():
        declared = results.declared.get(mine[0].spec.variant)
        row = [variant_cell(results, mine[0])]
        for metric, claim in (("{}_s", "time_exponent"), ("peak_memory_bytes", "memory_exponent")):
            for mode in modes:
                found, lengths = growth([r for r in mine if r.spec.mode == mode], metric.format(mode))
                row.append(exponent_cell(found, getattr(declared, claim, None), lengths))
        rows.append(row)
    note = (
        "Least squares on logarithms over every length that gave a number. Fixed costs flatten the curve at short lengths, and "
        "leaving a cache steepens it, so a measured exponent need not equal the claim. Point at a number for its 95 % interval."
    )
    return Table(f"Growth with seq_len, measured and claimed · {group.title}", columns, rows, (note,))
