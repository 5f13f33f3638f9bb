"""The table of how costs grow with seq_len: measured and claimed exponents, and the length from which each mechanism beats softmax."""

from __future__ import annotations

from collections.abc import Sequence

from attnbench.analysis.scaling import BASELINES, Cost
from attnbench.analysis.standing import Crossing, Growth
from attnbench.store.record import Record
from attnbench.website.results import Results
from attnbench.website.tables.table import EMPTY, Cell, Column, Table, Value, bounds_data, common_lengths, exponent_cell, variant_cell

COSTS: tuple[Cost, ...] = ("time", "memory")
NOTES = (
    "An exponent is the slope of cost over the longest lengths on logarithmic axes, with its 95 % interval; the lengths stand in the "
    "head or beside it. ok: the claimed one lies within the interval.",
    "Cheaper from: the seq_len from which on a mechanism costs less than the baseline, up to the longest measured, with its 95 % interval. "
    "Undecided: the interval reaches beyond the lengths that both were measured at.",
)


def growth_table(results: Results, records: Sequence[Record], setting: str) -> Table:
    """The table of growth in one setting and mode. records: those of all lengths."""
    first = {results.label(r): r for r in reversed(records)}
    baselines = [name for name in BASELINES if name in first]
    of_costs = {what: results.standings.growth(what, records[0]) for what in COSTS}
    lengths = {what: common_lengths(grown for label, grown in of.items() if label in first) for what, of in of_costs.items()}
    small = {what: f"{of} (claimed)" if of else "(claimed)" for what, of in lengths.items()}
    columns = [
        Column("Variant", kind="text", key="name"),
        *(Column(f"{what.capitalize()}", small[what], key=f"{what}_exponent") for what in COSTS),
        *(Column("Faster from", f"than {name}", key=f"faster_than_{name}_from") for name in baselines),
        *(Column("Smaller from", f"than {name}", key=f"smaller_than_{name}_from") for name in baselines),
    ]
    rows, data = [], []
    for label, record in sorted(first.items()):
        crossings = {what: results.standings.crossings(what, record).get(label, {}) for what in COSTS}
        row = [variant_cell(results, record)]
        told: dict[str, Value] = {"name": label, "variant": record.spec.variant}
        for what in COSTS:
            grown = of_costs[what].get(label)
            row.append(_exponent_cell(grown, lengths[what]))
            told |= _exponent_data(what, grown)
        for what, word in (("time", "faster"), ("memory", "smaller")):
            for name in baselines:
                crossing = crossings[what].get(name)
                row.append(_crossing_cell(crossing, label == name))
                told |= {f"{word}_than_{name}": crossing.found if crossing else None, f"{word}_than_{name}_from": _from(crossing)}
        rows.append(row)
        data.append(told)
    return Table(f"Growth with seq_len, measured and claimed · {setting}", columns, rows, NOTES, data)


def _exponent_cell(grown: Growth | None, lengths: str) -> Cell:
    """The cell of an exponent, which says whether the claimed one lies within its interval."""
    cell = exponent_cell(grown, lengths)
    of = grown.exponent if grown else None
    agrees = of is not None and grown is not None and grown.claimed is not None and of.low <= grown.claimed <= of.high
    return cell._replace(small=f"{cell.small} ok") if agrees else cell


def _exponent_data(what: str, grown: Growth | None) -> dict[str, Value]:
    exponent = grown.exponent if grown else None
    return {**bounds_data(f"{what}_exponent", exponent), f"claimed_{what}_exponent": grown.claimed if grown else None}


def _crossing_cell(crossing: Crossing | None, itself: bool) -> Cell:
    if itself:
        return Cell("baseline", kind="number quiet")
    if crossing is None or not crossing.found:
        return EMPTY
    if crossing.found != "crosses":
        return Cell(crossing.found, kind="number quiet" if crossing.found == "undecided" else "number")
    size = crossing.size
    return Cell(f"{size.value:,.0f}", f"[{size.low:,.0f}, {size.high:,.0f}]")


def _from(crossing: Crossing | None) -> float | None:
    """The size of a crossover, for sorting; where a mechanism is always cheaper, the smallest size measured."""
    if crossing is None or crossing.found not in ("crosses", "always"):
        return None
    return crossing.smallest if crossing.found == "always" else crossing.size.value
