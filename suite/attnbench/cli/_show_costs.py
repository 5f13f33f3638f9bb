"""The terminal table of a cost: ranks, ratios to softmax, times or sizes by seq_len or depth, growth, and where softmax is overtaken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from attnbench.analysis.number_format import count, digits, power_text, rank_text, ratio, seconds, size
from attnbench.analysis.samples import BASELINE, by_coverage, pooled, positive, status_word
from attnbench.analysis.scaling import Cost
from attnbench.analysis.settings import ALONG
from attnbench.analysis.standing import Crossing, Growth, Standing
from attnbench.analysis.standings import Standings
from attnbench.analysis.time_table import RATIO
from attnbench.cli.terminal import new_table
from attnbench.stats import Interval, Resolution
from attnbench.store.record import Record

NAMED = 5  # mechanisms that a line below a table names one by one
Label = Callable[[Record], str]


@dataclass(frozen=True)
class CostTable:
    """A table, a line that says for which size its ranks and ratios hold, and lines to be printed below it."""

    table: Table
    where: str
    below: tuple[str, ...]


def cost_table(rows: Sequence[Record], what: Cost, standings: Standings, label: Label) -> CostTable:
    """The table of one setting over all sizes.

    rows: the setting's records of all sizes. The table's rows are in the order of the ranking: times by their value, memory by rank.
    """
    spec = rows[0].spec
    along, metric = ALONG[spec.track], f"{spec.mode}_s" if what == "time" else "peak_memory_bytes"
    mechanisms: dict[str, dict[int, Record]] = {}
    for record in pooled(rows, label):
        mechanisms.setdefault(label(record), {})[getattr(record.spec, along)] = record
    sizes = by_coverage([record for own in mechanisms.values() for record in own.values()], lambda record: getattr(record.spec, along))
    at, base = sizes[0], mechanisms.get(BASELINE, {})
    some = {n: next(own[n] for own in mechanisms.values() if n in own) for n in sizes}
    places = {n: standings.places(what, record) for n, record in some.items()}
    growths, crossings = standings.growth(what, some[at]), standings.crossings(what, some[at])
    grows = ("growth",) if len(sizes) > 1 else ()  # one size says nothing of growth
    beside = ("vs softmax", "95 %" if what == "time" else "") if base else ()
    crossing = ("cheaper than softmax",) if base and grows else ()
    claimed = ("claimed",) if grows and any(growths[name].claimed is not None for name in mechanisms) else ()
    titles = ("rank", "variant", *beside, *(f"{n:,}" for n in sorted(sizes)), *grows, *claimed, *crossing)
    table = new_table(*titles, left=("variant",))
    order = {name: number for number, name in enumerate(places[at])}
    for name, own in sorted(mechanisms.items(), key=lambda item: (order.get(item[0], len(order)), item[0])):
        row: list[str | Text] = [_rank(places[at].get(name)), name]
        if base:
            row += _beside(own.get(at), base.get(at), places[at].get(name), metric)
        row += [_cell(own.get(n), places[n].get(name), metric) for n in sorted(sizes)]
        row += [_growth(growths[name], along) for _ in grows]
        claims = [_claim(growths[name]) for _ in claimed]
        table.add_row(*row, *claims, *(crossing_text(crossings.get(name, {}).get(BASELINE)) for _ in crossing))
    resolved = _resolved(standings.resolution(some[at]) if what == "time" else None, places[at])
    below = (*resolved, *(_growths(growths) if grows else ()), *_notes(places[at]))
    return CostTable(table, f"ranks{' and ratios' if base else ''} at {along} {at:,}", below)


def _resolved(resolution: Resolution | None, places: Mapping[str, Standing]) -> Sequence[str]:
    """What the table can show, and whether it is more than a first look."""
    if resolution is None:
        return ()
    measured = "softmax against itself in another process" if resolution.processes else "softmax has no cell here; the same code twice"
    parts = [f"{measured} {_percent(resolution.between)}"]
    if resolution.over_cells is not None:
        parts.append(f"softmax over all cells {_percent(resolution.over_cells)}")
    said = [f"resolution {_percent(resolution.factor)}: rows that are closer have no order ({', '.join(parts)})"]
    if all(place.processes <= 1 for place in places.values()):
        said.append("first look: every time is of one process, and two processes differ by more than their samples show")
    return said


def _percent(factor: float) -> str:
    return f"{100 * (factor - 1):.1f} %"


def _growths(growths: Mapping[str, Growth]) -> Sequence[str]:
    """Over which sizes the exponents are, or why there are none."""
    said: dict[str, list[str]] = {}
    for name, grown in growths.items():
        if grown.exponent:
            said.setdefault(f"growth: the slope over {grown.sizes} sizes, {grown.smallest:,.0f} to {grown.largest:,.0f}", []).append(name)
        elif grown.why and grown.sizes:
            said.setdefault(f"no growth: {grown.why}", []).append(name)
    return [f"{told}: {', '.join(names) if len(names) <= NAMED else f'{len(names)} mechanisms'}" for told, names in said.items()]


def _notes(places: Mapping[str, Standing]) -> Sequence[str]:
    """What must be said of single rows; equal notes of several rows in one line."""
    said: dict[str, list[str]] = {}
    for name, place in places.items():
        code = (f"{place.implementation} code",) if place.implementation not in ("", "tuned") else ()
        for note in (*((place.apart,) if place.apart else ()), *place.notes, *code):
            said.setdefault(note, []).append(name)
    return [f"{', '.join(names)}: {note}" for note, names in said.items()]


def _rank(place: Standing | None) -> str | Text:
    return Text("flagged", style="yellow") if place and place.flagged else rank_text(place.rank if place else None)


def _beside(record: Record | None, base: Record | None, place: Standing | None, metric: str) -> list[str]:
    """The ratio to softmax and its interval; bytes, which are counted, have no interval; a time that does not count has neither."""
    if record is None or (place and not place.counts):
        return ["", ""]
    if record is base:
        return ["1×", "baseline"]
    if metric.endswith("_s"):
        found = place.interval if place and place.metric == RATIO else None
        return [ratio(found.value), _bounds(found)] if found else ["", ""]
    own, of_softmax = positive(record, metric), positive(base, metric) if base else None
    return [ratio(own.value / of_softmax.value), ""] if own and of_softmax else ["", ""]


def _bounds(found: Interval) -> str:
    return f"[{digits(found.low)}, {digits(found.high)}]" if found.confidence else "1 sample"


def _cell(record: Record | None, place: Standing | None, metric: str) -> Text:
    """The cost at one size; a time of a cell in which the machine's speed changed is marked."""
    if place and place.seconds and not place.flagged and record and record.status == "ok":
        return Text(seconds(place.seconds.value))
    found = positive(record, metric) if record else None
    if found is None:
        return Text("" if record is None else status_word(record), style="yellow")
    if metric == "peak_memory_bytes":
        return Text(size(found.value))
    drifts = bool(place and place.metric == RATIO and not place.seconds)
    return Text(f"{seconds(found.value)} (drift)", style="yellow") if drifts else Text(seconds(found.value))


def _growth(grown: Growth, along: str) -> str:
    """The exponent, and half the width of its 95 % interval."""
    slope = grown.exponent
    if slope is None:
        return "-"
    return f"{'n' if along == 'seq_len' else 'L'}^{slope.value:.2f} ± {slope.high - slope.value:.2f}"


def _claim(grown: Growth) -> str:
    return "" if grown.claimed is None else power_text(grown.claimed)


def crossing_text(crossing: Crossing | None) -> str:
    """A crossover in words.

    >>> crossing_text(Crossing("crosses", Interval(611.7, 540.2, 700.0, 0.95), 256))
    'from 612 [540, 700]'
    """
    if crossing is None or crossing.found != "crosses":
        return crossing.found if crossing else ""
    at = crossing.size
    bounds = f" [{count(at.low)}, {count(at.high)}]" if at.low < at.high else ""
    return f"from {count(at.value)}{bounds}"
