"""The table of mechanisms by time. The ratio to softmax comes first, because it can be compared between machines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from attnbench.analysis.number_format import digits, ratio, seconds, size
from attnbench.analysis.samples import BASELINE, positive
from attnbench.analysis.standing import Standing
from attnbench.stats import Interval
from attnbench.store.record import Record
from attnbench.website.links import cell_href
from attnbench.website.results import Results
from attnbench.website.tables.resolution import against_itself, resolution_text, row_words
from attnbench.website.tables.table import (
    EMPTY,
    Cell,
    Column,
    Table,
    Value,
    Word,
    bar,
    bounds_data,
    interval_text,
    rank_cell,
    scale,
    status_cell,
    variant_cell,
)
from attnbench.website.times import call_seconds, over_softmax
from attnbench.website.words import WORDS

TIES = (
    "Ranks are ranges: two mechanisms are ordered only where their times differ by more than the resolution and by more than chance, with "
    "at most 5 % of such statements false."
)


@dataclass(frozen=True)
class Extra:
    """A further column: its header, what it shows for a record, the raw values of that by name, and a note below the table."""

    column: Column
    show: Callable[[Record], Cell]
    data: Callable[[Record], Mapping[str, Value]]
    note: str = ""


class Times:
    """The times of a table's mechanisms.

    times:  seconds and interval by label, for those that have a time.
    lead:   the values shown first: the ratio to softmax where every time has one, else the time.
    places: the rank of every mechanism, or the reason why it has none.
    resolution: the smallest difference that the table can show; None where nothing ranks.
    """

    def __init__(self, results: Results, records: Sequence[Record]) -> None:
        self.places: Mapping[str, Standing] = results.standings.places("time", records[0])
        self.resolution = results.standings.resolution(records[0])
        self.times = {label: t for r in records if (t := call_seconds(results, r)) and (label := results.label(r))}
        base = self.times.get(BASELINE)
        timed = [r for r in records if results.label(r) in self.times]
        ratios = {label: x for r in timed if (x := over_softmax(results, r, base)) and (label := results.label(r))}
        counted = [label for label in self.times if (place := self.places.get(label)) is None or place.counts]
        self.is_relative = bool(ratios) and all(label in ratios for label in counted)
        if BASELINE in ratios:
            ratios[BASELINE] = against_itself(self.resolution, ratios[BASELINE])
        self.lead = ratios if self.is_relative else self.times
        self.on = scale(self.lead.values(), 1.0 if self.is_relative else None)
        self.confidences = {interval.confidence for interval in self.lead.values()}

    def columns(self) -> list[Column]:
        told = f"vs {BASELINE}" if self.is_relative else f"no {BASELINE} here" if self.times else ""
        show = ratio if self.is_relative else seconds
        ends = f"{show(10 ** self.on[0])} to {show(10 ** self.on[1])}, log" if self.on else ""
        absolute = [Column("Absolute", "median", key="time_s")] if self.is_relative else []
        return [
            Column("Rank", key="rank"), Column("Variant", kind="text", key="name"),
            Column("Time", told, key="time_ratio" if self.is_relative else "time_s"),
            Column(self._of_all() or "Interval", ends, kind="interval"), *absolute,
        ]  # fmt: skip

    def _of_all(self) -> str:
        """The title of the column of intervals; names the confidence if it is the same for all, so that cells need not repeat it."""
        if len(self.confidences) != 1 or not min(self.confidences):
            return ""
        return f"{math.floor(100 * min(self.confidences))} % interval"

    def head(self, results: Results, record: Record) -> list[Cell]:
        """The rank, and the mechanism's name with what must be said of the row."""
        place = self.places.get(results.label(record))
        words = row_words(place, self.resolution.processes if self.resolution else 1)
        if self.is_relative and results.label(record) == BASELINE:
            words = (Word("against itself", (WORDS["against itself"],)), *words)
        return [rank_cell(place), variant_cell(results, record)._replace(words=words)]

    def cells(self, label: str, link: str) -> list[Cell]:
        """The time and its interval."""
        time, leading = self.times[label], self.lead.get(label)
        span = interval_text(time, seconds)
        if leading is None:  # its times do not count, so that it has no ratio
            return [EMPTY, EMPTY, Cell(seconds(time.value), title=span, href=link, kind="number quiet")]
        show = ratio if self.is_relative else seconds
        drawn = bar(leading, self.on, 1.0 if self.is_relative else None) if self.on else None
        told = leading if not self._of_all() else Interval(leading.value, leading.low, leading.high, 1.0)
        bounds = interval_text(told, digits if self.is_relative else seconds)
        absolute = [Cell(seconds(time.value), title=span, href=link, kind="number quiet")] if self.is_relative else []
        own = interval_text(leading, show)
        return [Cell(show(leading.value), title=own, href=link), Cell(bounds, kind="interval", bar=drawn), *absolute]

    def data(self, label: str) -> dict[str, Value]:
        relative = self.lead.get(label) if self.is_relative else None
        return {**bounds_data("time_ratio", relative), **bounds_data("time_s", self.times.get(label))}

    def notes(self) -> tuple[str, ...]:
        flags = sorted({place.why for place in self.places.values() if place.flagged and place.why})
        return (TIES, *(f"Not ranked, {flag}." for flag in flags))


def cost_table(results: Results, records: Sequence[Record], setting: str, extras: Sequence[Extra]) -> Table:
    """The table of mechanisms by time, with their peak memory and the track's further columns."""
    records = list({results.label(r): r for r in reversed(records)}.values())
    times = Times(results, records)
    base_memory = next((positive(r, "peak_memory_bytes") for r in records if results.label(r) == BASELINE), None)
    memory_column = Column("Peak memory", f"vs {BASELINE}" if base_memory else "", key="peak_memory_bytes")
    columns = [*times.columns(), memory_column, *(extra.column for extra in extras)]
    measured = len(columns) - len(extras) - 3  # from the time to the absolute time

    def row(record: Record) -> list[Cell]:
        label, link = results.label(record), cell_href(record)
        head = times.head(results, record)
        if label not in times.times and record.status == "ok":
            return [*head, Cell("not measured", kind="text none", span=measured + 1), *(extra.show(record) for extra in extras)]
        if label not in times.times:
            return [*head, status_cell(record, measured + 1), *(extra.show(record) for extra in extras)]
        memory = positive(record, "peak_memory_bytes")
        relative = ratio(memory.value / base_memory.value) if memory and base_memory else ""
        shown = Cell(size(memory.value), relative, href=link) if memory else EMPTY
        return [*head, *times.cells(label, link), shown, *(extra.show(record) for extra in extras)]

    def data(record: Record) -> dict[str, Value]:
        memory = positive(record, "peak_memory_bytes")
        found: dict[str, Value] = {**row_data(results, record, times.places.get(results.label(record)))}
        found |= {**times.data(results.label(record)), "peak_memory_bytes": memory.value if memory else None}
        for extra in extras:
            found |= extra.data(record)
        return found

    shown = in_order(results, records, times.places)
    notes = (*times.notes(), *(extra.note for extra in extras if extra.note))
    return Table(setting, columns, [row(r) for r in shown], notes, [data(r) for r in shown], resolution_text(times.resolution))


def row_data(results: Results, record: Record, place: Standing | None) -> dict[str, Value]:
    """The raw values of a row that every table of mechanisms has."""
    rank = place.rank if place else None
    return {
        "rank": sum(rank) / 2 if rank else None, "rank_low": rank[0] if rank else None, "rank_high": rank[1] if rank else None,
        "name": results.label(record), "variant": record.spec.variant, "status": record.status, "reason": record.reason,
        "trust": record.origin.trust, "by": record.origin.by, "cell": record.id,
    }  # fmt: skip


def in_order(results: Results, records: Iterable[Record], places: Mapping[str, Standing]) -> list[Record]:
    """The records in the order of analysis, which gives those without a rank last; what it does not know comes after them, by name."""
    order = {label: place for place, label in enumerate(places)}

    def key(record: Record) -> tuple[int, str]:
        label = results.label(record)
        return order.get(label, len(order)), label

    return sorted(records, key=key)
