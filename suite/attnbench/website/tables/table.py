"""The tables that pages show, and the cells that several pages share."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from markupsafe import Markup

from attnbench.analysis.labels import cell_text, clip
from attnbench.analysis.number_format import digits, power_text, rank_text, short_count
from attnbench.analysis.samples import status_word
from attnbench.analysis.standing import Growth, Standing
from attnbench.stats import Interval
from attnbench.store.record import Record
from attnbench.website.links import cell_href, variant_file
from attnbench.website.palette import Style
from attnbench.website.results import Results
from attnbench.website.words import WORDS

Value = str | float | int | bool | None


class Bar(NamedTuple):
    """An interval drawn on a common scale above the cell's text, in percent of its width; `base` is where the baseline lies."""

    low: float
    value: float
    high: float
    base: float | None = None


class Word(NamedTuple):
    """A word beside a cell's text. told: the paragraphs that it opens to; a word that needs none is plain text."""

    text: str
    told: tuple[str, ...] = ()


class Cell(NamedTuple):
    """One cell. small: text in small type; title: an interval that a pointer shows, which the cell's page shows too; href: link.

    more: paragraphs that are shown when the reader opens the cell's text; the last one is a command. told: the paragraphs that the cell's
    text opens to, over the page. words: further words below the text.
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
    told: tuple[str, ...] = ()
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class Column:
    """A column. key: the name of its values in the table's data, by which readers sort; the smallest first unless `falling`.

    told: what its second line opens to.
    """

    title: str
    small: str = ""
    kind: str = "number"
    key: str = ""
    falling: bool = False
    told: str = ""


@dataclass(frozen=True)
class Table:
    """A table with a caption. The cell of kind "variant" or "head" is the header of its row.

    data: the raw values of every row, for sorting, filtering (by `name`) and downloads. resolution: the line below a table of times that
    says which differences it cannot show.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = field(default_factory=tuple)
    data: Sequence[Mapping[str, Value]] = field(default_factory=tuple)
    resolution: str = ""
    kind: str = "table"


LEAST_CONFIDENCE = 0.945  # intervals below it say their confidence; 95 % is asked for
LONGEST = 60  # most characters of a label that are shown; a name may have any length
EMPTY = Cell("–", kind="number none")


def variant_cell(results: Results, record: Record) -> Cell:
    """The cell of a variant: its name with its mark, linked to its page."""
    style = results.styles[record.spec.variant]
    return Cell(clip(results.label(record), LONGEST), href=variant_file(record.spec.variant), kind="variant", style=style)


def status_cell(record: Record, span: int = 1) -> Cell:
    """The status of a cell that has no numbers; when opened, it shows the reason and the command that tries again."""
    reason = record.reason or (f"at stage {record.stage}" if record.stage else "no reason was given")
    more = (clip(reason, 2000), clip(record.command, 2000))
    return Cell(status_word(record), href=cell_href(record), kind=f"status {record.status}", span=span, more=more)


def failures_table(results: Results, records: Iterable[Record], caption: str) -> Table:
    """The table of the statuses of cells, where none of them has a number that could be drawn."""
    rows = [[variant_cell(results, r), Cell(cell_text(r.spec), kind="text"), status_cell(r)] for r in records if r.status != "ok"]
    return Table(caption, [Column("Variant", kind="text"), Column("Cell", kind="text"), Column("Status", kind="text")], rows)


def rank_cell(place: Standing | None) -> Cell:
    """The cell of a rank, which opens to the mechanisms that it cannot be told from; where there is no rank it opens to the reason."""
    if place is None:
        return Cell(rank_text(None), kind="number none")
    if place.flagged:
        told = f"Not ranked: {(place.why or '').removeprefix('flagged: ')}."
        return Cell("flagged", kind="number warn", told=(told, WORDS["flagged"]))
    if place.rank is None:
        why = place.why if place.interval is not None else None  # a failure tells its reason beside its status
        return Cell(rank_text(None), kind="number none", told=(f"Not ranked: {clip(why, 400)}.",) if why else ())
    told = f"It cannot be told from {', '.join(place.ties)}." if place.ties else ""
    return Cell(rank_text(place.rank), told=(told,) if told else ())


def interval_text(interval: Interval, show: Callable[[float], str] = digits) -> str:
    """The bounds of an interval as text, with its confidence where few samples make it low; "1 sample, no interval" for one sample."""
    if not interval.confidence:
        return "1 sample, no interval"
    less = "" if interval.confidence > LEAST_CONFIDENCE else f" {math.floor(100 * interval.confidence)}\u2009%"
    return f"[{show(interval.low)}, {show(interval.high)}]{less}"


def exponent_cell(grown: Growth | None, lengths: str = "") -> Cell:
    """The cell of a measured growth n^x with its interval, the lengths that it was fitted to and the claim; "–" opens to why there is none.

    lengths: those that the head of the column gives, which cells need not repeat.
    """
    if grown is None:
        return EMPTY
    claim = f"({power_text(grown.claimed)})" if grown.claimed is not None else ""
    if grown.exponent is None:
        why = grown.why or "an exponent needs two lengths, and there are fewer"
        return Cell("–", claim, kind="number none", told=(f"No exponent: {why}.",))
    of = grown.exponent
    bounds = f"[{of.low:.2f}, {of.high:.2f}]" if math.isfinite(of.low) else "no interval"
    over = lengths_of(grown)
    return Cell(power(f"{of.value:.2f}"), " ".join(filter(None, (bounds + (f", {over}" if over != lengths else ""), claim))))


def lengths_of(grown: Growth) -> str:
    """The lengths that an exponent was fitted to, as text: "1k to 16k"."""
    return f"{short_count(grown.smallest)} to {short_count(grown.largest)}"


def common_lengths(growths: Iterable[Growth]) -> str:
    """The lengths that most exponents of a column were fitted to, as text, which its head gives; "" where there are none."""
    spans = Counter(lengths_of(grown) for grown in growths if grown.exponent)
    return min(spans, key=lambda span: (-spans[span], span), default="")


def power(exponent: str) -> Markup:
    """The HTML of n to a power."""
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
    """A value and its bounds by their names; bounds that are not finite are missing."""
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
    """The bar of an interval on a linear scale."""
    low, value, high = (round(100 * (x - on[0]) / (on[1] - on[0]), 2) for x in (interval.low, interval.value, interval.high))
    return Bar(low, value, high)


def bar(interval: Interval, on: tuple[float, float], base: float | None = None) -> Bar:
    """The bar of an interval on a logarithmic scale."""

    def place(x: float) -> float:
        return round(100 * (math.log10(x) - on[0]) / (on[1] - on[0]), 2)

    return Bar(place(interval.low), place(interval.value), place(interval.high), None if base is None else place(base))
