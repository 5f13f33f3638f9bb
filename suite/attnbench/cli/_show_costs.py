"""The terminal table of a cost: ranks, ratios to softmax, times or sizes by seq_len or depth, growth, and where softmax is overtaken."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from attnbench.analysis.number_format import count, digits, power_text, rank_text, ratio, seconds, size
from attnbench.analysis.samples import BASELINE, by_coverage, pooled, positive, ratio_to_softmax, status_word
from attnbench.analysis.scaling import Cost
from attnbench.analysis.settings import ALONG
from attnbench.analysis.standings import Crossing, Growth, Standing, Standings
from attnbench.cli.terminal import new_table
from attnbench.stats import Interval
from attnbench.store.record import Record

LAST = (10**6, 10**6)  # sorts a mechanism without a rank after all others
Label = Callable[[Record], str]


def cost_table(rows: Sequence[Record], what: Cost, standings: Standings, label: Label) -> tuple[Table, str]:
    """The table of one setting over all sizes, and a line that says for which size its ranks and ratios hold.

    rows: the setting's records of all sizes. The table's rows are in the order of ranks, ties by name.
    """
    spec = rows[0].spec
    along, metric = ALONG[spec.track], f"{spec.mode}_s" if what == "time" else "peak_memory_bytes"
    mechanisms: dict[str, dict[int, Record]] = {}
    for record in pooled(rows):
        mechanisms.setdefault(label(record), {})[getattr(record.spec, along)] = record
    sizes = by_coverage([record for own in mechanisms.values() for record in own.values()], lambda record: getattr(record.spec, along))
    at, base = sizes[0], mechanisms.get(BASELINE, {})
    here = next(own[at] for own in mechanisms.values() if at in own)
    places, growths, crossings = standings.places(what, here), standings.growth(what, here), standings.crossings(what, here)
    beside, crossing = (("vs softmax", "99 %" if what == "time" else ""), ("cheaper than softmax",)) if base else ((), ())
    claimed = ("claimed",) if any(growths[name].claimed is not None for name in mechanisms) else ()
    titles = ("rank", "variant", *beside, *(f"{n:,}" for n in sorted(sizes)), "growth", *claimed, *crossing)
    table = new_table(*titles, left=("variant",))
    for name, own in sorted(mechanisms.items(), key=lambda item: _order(item[0], places)):
        row: list[str | Text] = [_rank(places.get(name)), name]
        if base:
            row += _beside(own.get(at), base.get(at), places.get(name), metric)
        row += [_cell(own.get(n), metric) for n in sorted(sizes)] + [_growth(growths[name], along)]
        claims = [_claim(growths[name]) for _ in claimed]
        table.add_row(*row, *claims, *(crossing_text(crossings.get(name, {}).get(BASELINE)) for _ in crossing))
    return table, f"ranks{' and ratios' if base else ''} at {along} {at:,}"


def _order(name: str, places: Mapping[str, Standing]) -> tuple[tuple[int, int], str]:
    place = places.get(name)
    return (place.rank if place and place.rank else LAST), name


def _rank(place: Standing | None) -> str | Text:
    return Text("flagged", style="yellow") if place and place.flagged else rank_text(place.rank if place else None)


def _beside(record: Record | None, base: Record | None, place: Standing | None, metric: str) -> list[str]:
    """The ratio to softmax and its interval; bytes, which are counted, have no interval; a time of a flagged session has neither."""
    found = ratio_to_softmax(record, base, metric) if record and not (place and place.flagged) else None
    if found is None:
        return ["", ""]
    if record is base:
        return ["1×", "baseline"]
    return [ratio(found.value), _bounds(found) if metric.endswith("_s") else ""]


def _bounds(found: Interval) -> str:
    return f"[{digits(found.low)}, {digits(found.high)}]" if found.confidence else "1 sample"


def _cell(record: Record | None, metric: str) -> Text:
    found = positive(record, metric) if record else None
    if found:
        return Text((size if metric == "peak_memory_bytes" else seconds)(found.value))
    return Text("" if record is None else status_word(record), style="yellow")


def _growth(grown: Growth, along: str) -> str:
    """The exponent, and half the width of its 95 % interval where there are more than two sizes."""
    slope = grown.exponent
    if slope is None:
        return "-"
    half = f" ± {slope.high - slope.value:.2f}" if math.isfinite(slope.high) else ""
    return f"{'n' if along == 'seq_len' else 'L'}^{slope.value:.2f}{half}"


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
