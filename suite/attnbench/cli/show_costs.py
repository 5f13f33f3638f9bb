"""The terminal tables of costs: ranks, ratios to softmax and times or sizes by seq_len or depth, growth, and where softmax is overtaken."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from rich.table import Table
from rich.text import Text

from attnbench.analysis.quantity import count, digits, ratio
from attnbench.cli.terminal import new_table
from attnbench.stats import (  # fmt: skip
    BETWEEN,
    Crossover,
    Interval,
    cheaper,
    crossover,
    exact_cheaper,
    exponent,
    median_interval,
    median_ratio,
    rank_ranges,
)
from attnbench.store.record import Record
from attnbench.website.pages.board import by_coverage
from attnbench.website.results import BASELINE, positive, status_word, values
from attnbench.website.tables.table import power_text, rank_text


@dataclass(frozen=True)
class Costs:
    """What a table is of: a metric along an axis, "seq_len" or "num_layers".

    timed: whether it has noise. flagged: the cells, by their key without a seed, whose times were taken in a session that does not rank:
    they are shown, and neither ranked nor compared. claimed: the exponent that a variant claims, None where it claims none.
    """

    along: str
    metric: str
    show: Callable[[float], str]
    timed: bool
    flagged: Collection[str]
    claimed: Callable[[str], float | None]

    def of(self, record: Record) -> int:
        size: int = getattr(record.spec, self.along)
        return size

    def samples(self, record: Record | None, metric: str = "") -> list[float]:
        """The samples that count, of the metric or of another; none of a cell that is flagged."""
        if record is None or self.is_flagged(record) or not positive(record, self.metric):
            return []
        return values(record, metric or self.metric)

    def is_flagged(self, record: Record) -> bool:
        return self.timed and replace(record.spec, seed=0).key() in self.flagged


Mechanisms = Mapping[str, Mapping[int, Record]]  # by label and size


def cost_table(mechanisms: Mechanisms, costs: Costs) -> tuple[Table, str]:
    """The table, and a line that says at which size its ranks and ratios are.

    mechanisms: pooled records. Rows are in the order of ranks, ties by name.
    """
    records = [record for own in mechanisms.values() for record in own.values()]
    at = by_coverage(records, costs.of)[0]
    places = _places(mechanisms, costs, at)
    base = mechanisms.get(BASELINE, {})
    sizes = sorted({costs.of(record) for record in records})
    beside, crossing = (("vs softmax", "99 %" if costs.timed else ""), ("cheaper than softmax",)) if base else ((), ())
    claims = {label: _claimed(own, costs) for label, own in mechanisms.items()}
    claimed = ("claimed",) if any(claims.values()) else ()
    table = new_table("rank", "variant", *beside, *(f"{size:,}" for size in sizes), "growth", *claimed, *crossing, left=("variant",))
    last = (10**6, 10**6)
    for label, own in sorted(mechanisms.items(), key=lambda item: (places.get(item[0], last), item[0])):
        here = own.get(at)
        flagged = here is not None and costs.is_flagged(here)
        row: list[str | Text] = [Text("flagged", style="yellow") if flagged else rank_text(places.get(label)), label]
        if base:
            row += _beside(own.get(at), base.get(at), costs)
        row += [_cell(own.get(size), costs) for size in sizes] + [_growth(own, costs)]
        table.add_row(*row, *(claims[label] for _ in claimed), *(_overtakes(own, base, costs) for _ in crossing))
    return table, f"ranks{' and ratios' if base else ''} at {costs.along} {at:,}"


def _places(mechanisms: Mechanisms, costs: Costs, at: int) -> dict[str, tuple[int, int]]:
    """Ranks at a size, with ties."""
    ranked = {label: own[at] for label, own in mechanisms.items() if costs.samples(own.get(at))}
    relative = costs.timed and all(costs.samples(record, "anchor_ratio") for record in ranked.values())
    samples = [costs.samples(record, "anchor_ratio" if relative else "") for record in ranked.values()]
    return dict(zip(ranked, rank_ranges(cheaper(samples) if costs.timed else exact_cheaper(samples)), strict=True))


def _beside(record: Record | None, base: Record | None, costs: Costs) -> list[str]:
    """The ratio to softmax and its interval."""
    mine, theirs = costs.samples(record), costs.samples(base)
    if not mine or not theirs:
        return ["", ""]
    if record is base:
        return ["1×", "baseline"]
    ratios = costs.samples(record, "anchor_ratio") if costs.timed else []
    found = median_interval(ratios) if ratios else median_ratio(mine, theirs)
    return [ratio(found.value), _bounds(found) if costs.timed else ""]


def _bounds(found: Interval) -> str:
    return f"[{digits(found.low)}, {digits(found.high)}]" if found.confidence else "1 sample"


def _cell(record: Record | None, costs: Costs) -> Text:
    found = positive(record, costs.metric) if record else None
    if found:
        return Text(costs.show(found.value))
    return Text("" if record is None else status_word(record), style="yellow")


def _growth(own: Mapping[int, Record], costs: Costs) -> str:
    """The exponent, and its 95 % interval where there are more than two sizes."""
    medians = {size: median_interval(found).value for size, record in own.items() if (found := costs.samples(record))}
    if len(medians) < 2:
        return "-"
    slope = exponent(list(medians), list(medians.values()))
    half = f" ± {slope.high - slope.value:.2f}" if math.isfinite(slope.high) else ""
    return f"{'n' if costs.along == 'seq_len' else 'L'}^{slope.value:.2f}{half}"


def _claimed(own: Mapping[int, Record], costs: Costs) -> str:
    exponent = costs.claimed(next(iter(own.values())).spec.variant)
    return "" if exponent is None else power_text(exponent)


def _overtakes(own: Mapping[int, Record], base: Mapping[int, Record], costs: Costs) -> str:
    """The size from which on it costs less than softmax."""
    sizes = [size for size in sorted(own.keys() & base.keys()) if costs.samples(own[size]) and costs.samples(base[size])]
    if len(sizes) < 2 or own is base:
        return ""
    mine: list[list[float]] = []
    theirs: list[list[float]] = []
    for size in sizes:
        ratios = costs.samples(own[size], "anchor_ratio") if costs.timed else []
        mine.append(ratios or costs.samples(own[size]))
        theirs.append([1.0] if ratios else costs.samples(base[size]))
    return crossing_text(crossover(sizes, mine, theirs, between=BETWEEN if costs.timed else 0.0))


def crossing_text(found: Crossover) -> str:
    """A crossover in words; sizes that were not measured are not guessed at.

    >>> crossing_text(Crossover("crosses", 611.7, 540.2, 700.0, (256, 4096)))
    'from 612 [540, 700]'
    """
    if found.found in ("always", "never"):
        return str(found.found)
    if found.found == "crosses":
        bounds = f" [{count(found.low)}, {count(found.high)}]" if found.low < found.high else ""
        return f"from {count(found.value)}{bounds}"
    return "undecided"


def in_labels(records: Sequence[Record], label: Callable[[Record], str], of: Callable[[Record], int]) -> dict[str, dict[int, Record]]:
    """Pooled records by label and size."""
    found: dict[str, dict[int, Record]] = {}
    for record in records:
        found.setdefault(label(record), {})[of(record)] = record
    return found
