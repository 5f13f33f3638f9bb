"""How costs grow with seq_len or depth: exponents beside the claimed ones, crossovers with softmax, and what fits into a budget."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from attnbench.analysis.entries import Entry, settings
from attnbench.analysis.labels import Labels
from attnbench.analysis.settings import ALONG, SETTING, as_texts, comparable
from attnbench.analysis.time_medians import TimeMedians
from attnbench.analysis.time_table import TimeTable
from attnbench.analysis.times import time_table
from attnbench.errors import BadInput, unknown_name
from attnbench.stats import Interval, Location, crossover, exponent, longest_within

if TYPE_CHECKING:
    import pandas as pd

Cost = Literal["time", "memory"]
RAN_OUT, FAILED = ("oom", "timeout"), ("oom", "timeout", "error", "incorrect")
BASELINES = ("softmax", "softmax_math")
FITTED = 5  # the longest sizes, through which the slope is taken: where fixed costs are smallest
_PEAK = "peak_memory_bytes"


@dataclass(frozen=True)
class Point:
    """A mechanism at one size.

    cost: in seconds or bytes; None where it has no number that counts. table, place: of a time, the table of its setting and its place
    there, by which it is compared with others. status: that of its first record without numbers, else "ok". launch_bound: whether a GPU's
    call takes as long as launching its kernels.
    """

    cost: Location | None
    table: TimeTable | None
    place: int
    status: str
    launch_bound: bool = False

    def over(self, other: Point) -> Location | None:
        """Its cost over another's at the same size; None where either has none, or a time whose error is not known."""
        if self.table is None or other.table is None:
            return self.cost.over(other.cost) if self.cost and other.cost else None
        found = self.table.over(self.place, other.place)
        return found if math.isfinite(found.log) and math.isfinite(found.variance) else None


@dataclass
class Series:
    """The points of a mechanism in one setting, by size."""

    label: str
    variant: str
    points: dict[int, Point] = field(default_factory=dict)

    def measured(self) -> dict[int, Location]:
        """The cost at every size that gave a number."""
        return {size: point.cost for size, point in sorted(self.points.items()) if point.cost}

    def known(self) -> dict[float, Interval | None]:
        """`measured`, with None for sizes at which it failed, or was skipped because it ran out of memory or time at a smaller one.

        A size that was not tried for another reason, or whose time does not count, is left out.
        """
        measured, found = self.measured(), dict[float, Interval | None]()
        ran_out = False
        for size, point in sorted(self.points.items()):
            ran_out |= point.status in RAN_OUT
            if point.status in FAILED or (ran_out and point.status == "skipped"):
                found[size] = None
            elif size in measured:
                found[size] = measured[size].interval()
        return found


SeriesOf = list[tuple[tuple[Any, ...], dict[str, Series]]]  # every setting without its size, and its mechanisms by label


def growth(table: pd.DataFrame, what: Cost, track: str = "kernel") -> pd.DataFrame:
    """The exponent of every mechanism's cost in seq_len (kernel) or num_layers (depth), with its 95 % interval, in every setting.

    Columns: the setting's without the size; label, variant; value, low, high: the slope over the five longest sizes; sizes, smallest,
    largest: the number and range of the sizes that it was fitted to, or could have been; claimed: the exponent that the mechanism claims in
    seq_len, missing where it claims none; why: why there is no exponent. Sizes without a number, and those at which a GPU's time is that of
    launching, are left out.
    """
    return growth_of(list(series_of(table, what, track)), what, track)


def growth_of(series: SeriesOf, what: Cost, track: str) -> pd.DataFrame:
    """The table of `growth`, made from what `series_of` gave."""
    import pandas as pd

    found = []
    claims: dict[tuple[str, str], float | None] = {}
    for setting, of in series:
        mode = setting[_axes(track).index("mode")]
        for one in of.values():
            key = mode, one.variant
            if key not in claims:
                claims[key] = claimed_exponent(track, mode, what == "time", one.variant)
            found.append((*setting, one.label, one.variant, *_slope(one), claims[key]))
    names = ("label", "variant", "value", "low", "high", "why", "sizes", "smallest", "largest", "claimed")
    return pd.DataFrame(found, columns=[*_axes(track), *names])


def _slope(one: Series) -> tuple[Any, ...]:
    """The exponent of a mechanism with its bounds, why there is none, and the number and range of its sizes."""
    costs = one.measured()
    sizes = [size for size in costs if not one.points[size].launch_bound][-FITTED:]
    ends = (len(sizes), min(sizes), max(sizes)) if sizes else (0, None, None)
    if len(sizes) < FITTED:
        launching = len(costs) - sum(not one.points[size].launch_bound for size in costs)
        but = f", {launching} more are launch-bound" if launching else ""
        return (*(math.nan,) * 3, f"{len(sizes)} of the {FITTED} sizes that an exponent needs{but}", *ends)
    used = [costs[size] for size in sizes]
    variances = [cost.variance for cost in used]
    slope = exponent(sizes, [math.exp(cost.log) for cost in used], variances if all(map(math.isfinite, variances)) else ())
    return slope.value, slope.low, slope.high, None, *ends


def crossovers(table: pd.DataFrame, what: Cost, track: str = "kernel") -> pd.DataFrame:
    """From which size on each mechanism costs less than `softmax` and `softmax_math`, in every setting.

    Columns: the setting's without the size; label, variant, baseline; found ("crosses", "always", "never", "undecided", or missing below
    two common sizes); value, low, high: the size and its 95 % interval, infinite where it lies out of range; smallest, largest common size.
    Costs are compared as in their tables, times by the model of processes. A size at which either gave no number is not compared: that a
    baseline ran out of memory is not counted as a higher cost.
    """
    return crossovers_of(list(series_of(table, what, track)), what, track)


def crossovers_of(series: SeriesOf, what: Cost, track: str) -> pd.DataFrame:
    """The table of `crossovers`, made from what `series_of` gave."""
    import pandas as pd

    found: list[tuple[Any, ...]] = []
    for setting, of in series:
        for name in BASELINES:
            base = next((one for one in of.values() if one.label == name), None)
            for one in of.values() if base else ():
                if one.label != name and base is not None:
                    found.append((*setting, one.label, one.variant, name, *_crossing(one, base)))
    names = ("label", "variant", "baseline", "found", "value", "low", "high", "smallest", "largest")
    return pd.DataFrame(found, columns=[*_axes(track), *names])


def feasible(table: pd.DataFrame, what: Cost, budget: float, track: str = "kernel") -> pd.DataFrame:
    """The largest size that each mechanism was measured at within a budget, in seconds or bytes, in every setting.

    Columns: the setting's without the size; label, variant; longest, missing where not even the smallest size is surely within the budget;
    exceeded: the next size, at which the cost is not surely within it or there is no number; missing where no larger size was measured, so
    that the limit is not known.
    """
    import pandas as pd

    found = []
    for setting, series in series_of(table, what, track):
        for one in series.values():
            limit = longest_within(one.known(), budget)
            found.append((*setting, one.label, one.variant, limit.longest, limit.exceeded))
    table = pd.DataFrame(found, columns=[*_axes(track), "label", "variant", "longest", "exceeded"])
    return table.astype({"longest": float, "exceeded": float})


def _axes(track: str) -> tuple[str, ...]:
    return tuple(name for name in SETTING[track] if name != ALONG[track])


def series_of(
    table: pd.DataFrame, what: Cost, track: str, labels: Labels | None = None
) -> Iterator[tuple[tuple[Any, ...], dict[str, Series]]]:
    """Yield every setting without its size, in order, and its mechanisms in the order of their labels.

    labels: those of the whole table, if `table` is only a part of it. Raises BadInput for a track without sizes.
    """
    if track not in ALONG:
        raise unknown_name("track", track, ALONG, "tracks along which a cost grows")
    place = SETTING[track].index(ALONG[track])
    found: dict[tuple[Any, ...], dict[str, Series]] = {}
    keys: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    rows = comparable(table, track, labels)
    times = TimeMedians(table, rows, track, labels) if what == "time" else None
    for setting, entries, lookup in settings(rows, track, (_PEAK,) if what == "memory" else ()):
        shorter = setting[:place] + setting[place + 1 :]
        key = keys.setdefault(as_texts(shorter), shorter)
        if times is None:
            points = [_size(entry, lookup[_PEAK]) for entry in entries]
        else:
            mode = setting[SETTING[track].index("mode")]
            points = _times(entries, time_table(times, setting, entries, f"{mode}_s"))
        for entry, point in zip(entries, points, strict=True):
            found.setdefault(key, {}).setdefault(entry.label, Series(entry.label, entry.variant)).points[int(setting[place])] = point
    for setting, series in found.items():
        yield setting, dict(sorted(series.items()))


def _times(entries: Sequence[Entry], table: TimeTable) -> list[Point]:
    """The points of a setting's mechanisms by time. Those of disturbed and of unverified cells are left out."""
    return [
        Point(None, None, place, entry.status)
        if entry.flag or entry.unverified
        else Point(table.seconds.at(place), table, place, entry.status, table.launch_bound[place])
        for place, entry in enumerate(entries)
    ]


def _size(entry: Entry, samples: Mapping[int, list[float]]) -> Point:
    """The point of a mechanism by memory, which is counted and has no error. What is not above zero or not verified is left out."""
    held = [] if entry.unverified else [x for record in entry.records for x in samples.get(record, ())]
    cost = Location(math.log(median(held)), 0.0, math.inf, len(entry.records)) if held and min(held) > 0 else None
    return Point(cost, None, 0, entry.status)


def _crossing(one: Series, base: Series) -> tuple[Any, ...]:
    ratios = {size: one.points[size].over(base.points[size]) for size in sorted(one.points.keys() & base.points.keys())}
    known = {size: ratio for size, ratio in ratios.items() if ratio is not None}
    ends = (min(known), max(known)) if known else (None, None)
    if len(known) < 2:
        return (None, math.nan, math.nan, math.nan, *ends)
    found = crossover(list(known), list(known.values()))
    return found.found, found.value, found.low, found.high, *ends


def claimed_exponent(track: str, mode: str, timed: bool, variant: str) -> float | None:
    """The exponent of time or memory in seq_len that a registered mechanism claims for a call of all tokens; None for depth and for
    decoding, where mechanisms claim nothing."""
    from attnbench import registry

    if track != "kernel" or mode == "decode" or variant not in registry.names("variants"):
        return None
    try:
        return float(registry.field("variants", variant, "time_exponent" if timed else "memory_exponent"))
    except BadInput:  # a plug-in computes it and cannot be imported here
        return None
