"""A table of mechanisms by time: the ratio to softmax leads, for it travels between machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from attnbench.record import Record
from attnbench.render.quantity import ratio, seconds, size
from attnbench.render.results import BASELINE, Results, positive, values
from attnbench.render.tables import (
    EMPTY,
    Cell,
    Column,
    Table,
    bar,
    href,
    interval_text,
    rank_text,
    scale,
    status_cell,
    variant_cell,
)
from attnbench.stats import MARGIN, Interval, cheaper, rank_ranges, ratio_interval

Extra = tuple[Column, Callable[[Record], Cell]]
TIES = (
    f"Ranks are ranges: two mechanisms are ordered only where a rank test tells their times apart by more than {100 * (MARGIN - 1):.0f} %, "
    "with at most 1 % of such statements false."
)


class Standing:
    """How the mechanisms of a table stand in time.

    times:  median and interval of those that gave one, by label.
    lead:   what they are ordered by: the ratio to softmax where every time has one, else the time.
    flags:  why some do not rank; places: the ranks of the others.
    """

    def __init__(self, results: Results, records: Sequence[Record], metric: str) -> None:
        self.times = {results.label(r): t for r in records if (t := positive(r, metric))}
        base = self.times.get(BASELINE)
        timed = [r for r in records if results.label(r) in self.times]
        ratios = {results.label(r): x for r in timed if (x := _beside_softmax(r, self.times[results.label(r)], base))}
        self.is_relative = len(ratios) == len(self.times) > 0
        self.lead = ratios if self.is_relative else self.times
        self.flags = {results.label(r): flag for r in timed if (flag := results.flag(r))}
        metric = "anchor_ratio" if self.is_relative and all(values(r, "anchor_ratio") for r in timed) else metric
        samples = {results.label(r): values(r, metric) for r in timed if results.label(r) not in self.flags}
        self.places = dict(zip(samples, rank_ranges(cheaper(list(samples.values()))), strict=True))
        self.on = scale(self.lead.values(), 1.0 if self.is_relative else None)

    def columns(self) -> list[Column]:
        told = f"vs {BASELINE}" if self.is_relative else f"no {BASELINE} here" if self.times else ""
        show = ratio if self.is_relative else seconds
        ends = f"{show(10 ** self.on[0])} to {show(10 ** self.on[1])}, log" if self.on else ""
        return [Column("Rank"), Column("Variant", kind="text"), Column("Time", told), Column("Interval", ends, kind="interval")]

    def rank(self, label: str) -> Cell:
        flag = self.flags.get(label)
        return Cell("flagged", title=flag, kind="number warn") if flag else Cell(rank_text(self.places.get(label)))

    def cells(self, label: str, link: str) -> list[Cell]:
        """The time and its interval."""
        time, leading = self.times[label], self.lead[label]
        span = interval_text(time, seconds)
        show = ratio if self.is_relative else seconds
        is_base = label == BASELINE and self.is_relative
        drawn = bar(leading, self.on, 1.0 if self.is_relative else None) if self.on else None
        return [
            Cell(show(leading.value), seconds(time.value) if self.is_relative else "", span, link),
            Cell("baseline" if is_base else interval_text(leading, show), kind="interval", bar=drawn),
        ]

    def notes(self) -> tuple[str, ...]:
        return (TIES, *sorted({f"Not ranked: {flag}." for flag in self.flags.values()}))


def cost_table(results: Results, records: Sequence[Record], metric: str, setting: str, extras: Sequence[Extra]) -> Table:
    """Mechanisms by time, with their peak memory and what else the track has."""
    records = list({results.label(r): r for r in reversed(records)}.values())  # of several seeds the first
    standing = Standing(results, records, metric)
    base_memory = next((positive(r, "peak_memory_bytes") for r in records if results.label(r) == BASELINE), None)
    columns = [*standing.columns(), Column("Peak memory", f"vs {BASELINE}" if base_memory else ""), *(column for column, _ in extras)]

    def row(record: Record) -> list[Cell]:
        label, link = results.label(record), href(results, record)
        head = [standing.rank(label), variant_cell(results, record)]
        if label not in standing.times:
            return [*head, status_cell(results, record, 3), *(show(record) for _, show in extras)]
        memory = positive(record, "peak_memory_bytes")
        relative = ratio(memory.value / base_memory.value) if memory and base_memory else ""
        return [
            *head,
            *standing.cells(label, link),
            Cell(size(memory.value), relative, href=link) if memory else EMPTY,
            *(show(record) for _, show in extras),
        ]

    return Table(setting, columns, [row(r) for r in in_order(results, records, standing.places)], standing.notes())


def _beside_softmax(record: Record, time: Interval, base: Interval | None) -> Interval | None:
    """Time over that of softmax: of calls that took turns with it, or else of two cells, between which the machine may have drifted."""
    return positive(record, "anchor_ratio") or (ratio_interval(time, base) if base else None)


def in_order(results: Results, records: Iterable[Record], places: Mapping[str, tuple[int, int]]) -> list[Record]:
    """By rank; ties by name, never by value; what has no rank last."""
    last = (10**6, 10**6)
    return sorted(records, key=lambda r: (places.get(results.label(r), last), results.label(r)))
