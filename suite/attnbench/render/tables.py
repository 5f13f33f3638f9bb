"""Tables as values: what the templates draw, with the cells that several pages share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from attnbench.record import Record
from attnbench.render.palette import Style
from attnbench.render.quantity import digits
from attnbench.render.results import Results, anchor, status_word
from attnbench.stats import Exponent, Interval


@dataclass(frozen=True)
class Bar:
    """An interval drawn on a common scale above the cell's text, in percent of its width; `base` is where the baseline lies."""

    low: float
    value: float
    high: float
    base: float | None = None


@dataclass(frozen=True)
class Cell:
    """One cell: its text, a second line in small type, what a pointer shows, where it leads."""

    text: str = ""
    small: str = ""
    title: str = ""
    href: str = ""
    kind: str = "number"
    style: Style | None = None
    bar: Bar | None = None
    span: int = 1


@dataclass(frozen=True)
class Column:
    title: str
    small: str = ""
    kind: str = "number"


@dataclass(frozen=True)
class Table:
    """A captioned table. The cell of kind "variant" or "head" is the header of its row."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = field(default_factory=tuple)
    kind: str = "table"


EMPTY = Cell("–", kind="number none")


def variant_cell(results: Results, record: Record) -> Cell:
    """The variant with its mark, leading to its page."""
    style = results.styles[record.spec.variant]
    return Cell(results.label(record), href=f"variants/{style.slug}.html", kind="variant", style=style)


def href(results: Results, record: Record) -> str:
    """Where a cell is shown in full."""
    return f"variants/{results.styles[record.spec.variant].slug}.html#{anchor(record)}"


def status_cell(results: Results, record: Record, span: int = 1) -> Cell:
    """What became of a cell that has no numbers, and why."""
    reason = record.reason or (f"at stage {record.stage}" if record.stage else "")
    return Cell(status_word(record), clip(reason, 90), reason, href(results, record), f"status {record.status}", span=span)


def failures_table(results: Results, records: Iterable[Record], caption: str) -> Table:
    """What became of cells none of which gave a number that could be drawn."""
    rows = [[variant_cell(results, r), Cell(r.spec.label(), kind="text"), status_cell(results, r)] for r in records if r.status != "ok"]
    return Table(caption, [Column("Variant", kind="text"), Column("Cell", kind="text"), Column("Status", kind="text")], rows)


def clip(text: str, length: int) -> str:
    """The text, cut to a length."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def rank_text(rank: tuple[int, int] | None) -> str:
    """A rank, or the range of ranks that the intervals leave open."""
    if rank is None:
        return "–"
    return str(rank[0]) if rank[0] == rank[1] else f"{rank[0]}–{rank[1]}"


def interval_text(interval: Interval, show: Callable[[float], str] = digits) -> str:
    """The bounds of an interval; a single sample says that it has none."""
    return f"[{show(interval.low)}, {show(interval.high)}]" if interval.confidence else "1 sample, no interval"


def exponent_cell(found: Exponent | None, claimed: float | None, lengths: str) -> Cell:
    """A measured growth n^x beside the claimed one."""
    said = f"claimed {power_text(claimed)}" if claimed is not None else "no claim"
    if found is None:
        return Cell("–", said, "needs two lengths", kind="number none")
    bounds = f"[{found.low:.2f}, {found.high:.2f}]" if math.isfinite(found.low) else "two lengths, no interval"
    return Cell(power(f"{found.value:.2f}"), said, f"95 % interval {bounds}, over {lengths}")


def power(exponent: str) -> Markup:
    """n to a power."""
    return Markup("n<sup>{}</sup>").format(exponent)


def power_text(exponent: float) -> str:
    """n to a claimed power, in plain text.

    >>> power_text(2.0), power_text(1.5)
    ('n²', 'n^1.5')
    """
    return {0.0: "constant", 1.0: "n", 2.0: "n²", 3.0: "n³"}.get(exponent, f"n^{exponent:g}")


def scale(intervals: Iterable[Interval], include: float | None = None) -> tuple[float, float] | None:
    """A common logarithmic scale that holds all intervals with some room; None without any."""
    bounds = [x for i in intervals for x in (i.low, i.high) if x > 0 and math.isfinite(x)]
    bounds += [include] if include and bounds else []
    if not bounds:
        return None
    low, high = math.log10(min(bounds)), math.log10(max(bounds))
    room = max(0.05, 0.06 * (high - low))
    return low - room, high + room


def bar(interval: Interval, on: tuple[float, float], base: float | None = None) -> Bar:
    """Where an interval lies on a scale."""

    def place(x: float) -> float:
        return round(100 * (math.log10(x) - on[0]) / (on[1] - on[0]), 2)

    return Bar(place(interval.low), place(interval.value), place(interval.high), None if base is None else place(base))
