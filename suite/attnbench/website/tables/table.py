"""Tables as values: what the templates draw, with the cells that several pages share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from markupsafe import Markup

from attnbench.analysis.measured import status_word
from attnbench.analysis.quantity import digits, power_text, rank_text
from attnbench.analysis.standings import Growth, Standing
from attnbench.stats import Interval
from attnbench.store.record import Record
from attnbench.website.links import cell_href, variant_file
from attnbench.website.palette import Style
from attnbench.website.results import Results

Value = str | float | int | bool | None


class Bar(NamedTuple):
    """An interval drawn on a common scale above the cell's text, in percent of its width; `base` is where the baseline lies."""

    low: float
    value: float
    high: float
    base: float | None = None


class Cell(NamedTuple):
    """One cell: its text, more in small type, what a pointer shows, where it leads.

    more: what is told on demand, as paragraphs, the last of them a command; the text is then what opens it.
    """

    text: str = ""
    small: str = ""
    title: str = ""
    href: str = ""
    kind: str = "number"
    style: Style | None = None
    bar: Bar | None = None
    span: int = 1
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """key: under which the table's data have what the column shows, so that it can be sorted by; the smallest first unless `falling`."""

    title: str
    small: str = ""
    kind: str = "number"
    key: str = ""
    falling: bool = False


@dataclass(frozen=True)
class Table:
    """A captioned table. The cell of kind "variant" or "head" is the header of its row.

    data: of every row the raw values, for sorting, filtering and downloads; `name` and `trust` among them can be filtered by.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = field(default_factory=tuple)
    data: Sequence[Mapping[str, Value]] = field(default_factory=tuple)
    kind: str = "table"


LEAST_CONFIDENCE = 0.945  # of which no mention is made: 99 % of times is asked for, and 95 % of results
LONGEST = 60  # characters of a label that are shown; a name may be anything
EMPTY = Cell("–", kind="number none")


def variant_cell(results: Results, record: Record) -> Cell:
    """The variant with its mark, leading to its page."""
    style = results.styles[record.spec.variant]
    return Cell(clip(results.label(record), LONGEST), href=variant_file(record.spec.variant), kind="variant", style=style)


def status_cell(record: Record, span: int = 1) -> Cell:
    """What became of a cell that has no numbers; why, and how to try it again, on demand."""
    reason = record.reason or (f"at stage {record.stage}" if record.stage else "no reason was given")
    more = (clip(reason, 2000), clip(record.command, 2000))
    return Cell(status_word(record), href=cell_href(record), kind=f"status {record.status}", span=span, more=more)


def failures_table(results: Results, records: Iterable[Record], caption: str) -> Table:
    """What became of cells none of which gave a number that could be drawn."""
    rows = [[variant_cell(results, r), Cell(r.spec.label(), kind="text"), status_cell(r)] for r in records if r.status != "ok"]
    return Table(caption, [Column("Variant", kind="text"), Column("Cell", kind="text"), Column("Status", kind="text")], rows)


def clip(text: str, length: int) -> str:
    """The text, cut to a length."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def rank_cell(place: Standing | None) -> Cell:
    """A rank, with those that it cannot be told from; a flagged time has none."""
    if place and place.flagged:
        return Cell("flagged", title=place.why or "", kind="number warn")
    others = f"cannot be told from {', '.join(place.ties)}" if place and place.ties else ""
    return Cell(rank_text(place.rank if place else None), title=others)


def interval_text(interval: Interval, show: Callable[[float], str] = digits) -> str:
    """The bounds of an interval; few samples say which confidence theirs has, and a single one that it has none."""
    if not interval.confidence:
        return "1 sample, no interval"
    less = "" if interval.confidence > LEAST_CONFIDENCE else f" {math.floor(100 * interval.confidence)}\u2009%"
    return f"[{show(interval.low)}, {show(interval.high)}]{less}"


def exponent_cell(grown: Growth | None) -> Cell:
    """A measured growth n^x beside the claimed one."""
    if grown is None:
        return EMPTY
    said = f"({power_text(grown.claimed)})" if grown.claimed is not None else ""
    if grown.exponent is None:
        return Cell("–", title="needs two sizes", kind="number none")
    bounds = f"[{grown.exponent.low:.2f}, {grown.exponent.high:.2f}]" if math.isfinite(grown.exponent.low) else "two sizes, no interval"
    over = f"{grown.sizes} sizes from {grown.smallest:,.0f} to {grown.largest:,.0f}"
    claim = "no claim" if grown.claimed is None else f"claimed {power_text(grown.claimed)}"
    return Cell(power(f"{grown.exponent.value:.2f}"), said, f"95 % interval {bounds}, over {over}; {claim}")


def power(exponent: str) -> Markup:
    """n to a power."""
    return Markup("n<sup>{}</sup>").format(exponent)


def scale(intervals: Iterable[Interval], include: float | None = None) -> tuple[float, float] | None:
    """A common logarithmic scale that holds all intervals with some room; None without any."""
    bounds = [x for i in intervals for x in (i.low, i.high) if x > 0 and math.isfinite(x)]
    bounds += [include] if include and bounds else []
    if not bounds:
        return None
    low, high = math.log10(min(bounds)), math.log10(max(bounds))
    room = max(0.05, 0.06 * (high - low))
    return low - room, high + room


def bounds_data(name: str, interval: Interval | None) -> dict[str, Value]:
    """A value and its bounds under their names; missing bounds where they are not finite."""
    values = (interval.value, interval.low, interval.high) if interval else (None, None, None)
    names = (name, f"{name}_low", f"{name}_high")
    return {key: x if x is not None and math.isfinite(x) else None for key, x in zip(names, values, strict=True)}


def linear_scale(intervals: Iterable[Interval]) -> tuple[float, float] | None:
    """A common linear scale that holds all intervals with some room; None without any."""
    bounds = [x for i in intervals for x in (i.low, i.high) if math.isfinite(x)]
    if not bounds:
        return None
    room = 0.06 * (max(bounds) - min(bounds)) or 0.01 * abs(max(bounds)) or 1.0
    return min(bounds) - room, max(bounds) + room


def linear_bar(interval: Interval, on: tuple[float, float]) -> Bar:
    """Where an interval lies on a linear scale."""
    low, value, high = (round(100 * (x - on[0]) / (on[1] - on[0]), 2) for x in (interval.low, interval.value, interval.high))
    return Bar(low, value, high)


def bar(interval: Interval, on: tuple[float, float], base: float | None = None) -> Bar:
    """Where an interval lies on a scale."""

    def place(x: float) -> float:
        return round(100 * (math.log10(x) - on[0]) / (on[1] - on[0]), 2)

    return Bar(place(interval.low), place(interval.value), place(interval.high), None if base is None else place(base))
