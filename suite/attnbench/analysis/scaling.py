"""How costs grow with seq_len or depth: exponents beside the claimed ones, crossovers with softmax, and what fits into a budget."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from attnbench.analysis.labels import Labels
from attnbench.analysis.ranking import METRICS, Entry, settings
from attnbench.analysis.settings import ALONG, SETTING, comparable
from attnbench.errors import BadInput, unknown_name
from attnbench.stats import BETWEEN, Interval, crossover, exponent, longest_within, median_interval

if TYPE_CHECKING:
    import pandas as pd

Cost = Literal["time", "memory"]
RAN_OUT, FAILED = ("oom", "timeout"), ("oom", "timeout", "error", "incorrect")
BASELINES = ("softmax", "softmax_math")


@dataclass(frozen=True)
class Point:
    """A mechanism at one size. ratios: to softmax in the same rounds; status: that of its first record without numbers, else "ok"."""

    samples: list[float]
    ratios: list[float]
    status: str


@dataclass
class Series:
    """The points of a mechanism in one setting, by size."""

    label: str
    variant: str
    points: dict[int, Point] = field(default_factory=dict)

    def measured(self) -> dict[int, Interval]:
        """Median and interval at every size that gave a number."""
        return {size: median_interval(point.samples) for size, point in sorted(self.points.items()) if point.samples}

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
                found[size] = measured[size]
        return found


SeriesOf = list[tuple[tuple[Any, ...], dict[str, Series]]]  # every setting without its size, and its mechanisms by label


def growth(table: pd.DataFrame, what: Cost, track: str = "kernel") -> pd.DataFrame:
    """The exponent of every mechanism's cost in seq_len (kernel) or num_layers (depth), with its 95 % interval, in every setting.

    Columns: the setting's without the size; label, variant; value, low, high, missing below two sizes; sizes, smallest, largest: the number
    and range of the sizes that it was fitted to; claimed: the exponent that the mechanism claims in seq_len, missing where it claims none.
    Sizes without a number are left out.
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
            costs = one.measured()
            sizes = list(costs)
            slope = exponent(sizes, [cost.value for cost in costs.values()]) if len(sizes) > 1 else None
            numbers = (slope.value, slope.low, slope.high) if slope else (math.nan,) * 3
            ends = (min(sizes), max(sizes)) if sizes else (None, None)
            key = mode, one.variant
            if key not in claims:
                claims[key] = claimed_exponent(track, mode, what == "time", one.variant)
            found.append((*setting, one.label, one.variant, *numbers, len(sizes), *ends, claims[key]))
    names = ("label", "variant", "value", "low", "high", "sizes", "smallest", "largest", "claimed")
    return pd.DataFrame(found, columns=[*_axes(track), *names])


def crossovers(table: pd.DataFrame, what: Cost, track: str = "kernel") -> pd.DataFrame:
    """From which size on each mechanism costs less than `softmax` and `softmax_math`, in every setting.

    Columns: the setting's without the size; label, variant, baseline; found ("crosses", "always", "never", "undecided", or missing below
    two common sizes); value, low, high: the size and its 95 % interval, infinite where it lies out of range; smallest, largest common size.
    Times are compared through their ratios to softmax in the same rounds where both have them. A size at which either gave no number is not
    compared: that a baseline ran out of memory is not counted as a higher cost.
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
                    found.append((*setting, one.label, one.variant, name, *_crossing(one, base, what)))
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
    mode_at = SETTING[track].index("mode")
    found: dict[tuple[Any, ...], dict[str, Series]] = {}
    keys: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for setting, entries, lookup in settings(comparable(table, track, labels), track, METRICS[what]):
        shorter = setting[:place] + setting[place + 1 :]
        key = keys.setdefault(tuple(map(str, shorter)), shorter)
        metric = "peak_memory_bytes" if what == "memory" else f"{setting[mode_at]}_s"
        for entry in entries:
            point = _point(entry, what, metric, lookup)
            found.setdefault(key, {}).setdefault(entry.label, Series(entry.label, entry.variant)).points[int(setting[place])] = point
    for setting, series in found.items():
        yield setting, dict(sorted(series.items()))


def _point(entry: Entry, what: Cost, metric: str, lookup: Mapping[str, Mapping[int, list[float]]]) -> Point:
    """The point of a mechanism at one size. Times of flagged sessions and costs that are not above zero are left out."""
    kept = [r for r, flag in zip(entry.records, entry.flags, strict=True) if what == "memory" or not flag]
    samples, ratios = ([x for r in kept for x in lookup.get(name, {}).get(r, [])] for name in (metric, "anchor_ratio"))
    status = entry.statuses[entry.failed if entry.failed is not None else 0]
    sound = samples and min(samples) > 0
    return Point(samples if sound else [], ratios if sound and ratios and min(ratios) > 0 else [], status)


def _crossing(one: Series, base: Series, what: Cost) -> tuple[Any, ...]:
    common = sorted(size for size in one.points.keys() & base.points.keys() if one.points[size].samples and base.points[size].samples)
    if len(common) < 2:
        return (None, math.nan, math.nan, math.nan, *((common[0], common[-1]) if common else (None, None)))
    mine, theirs = [], []
    for size in common:
        a, b = one.points[size], base.points[size]
        if what == "time" and a.ratios and base.label == "softmax":
            mine.append(a.ratios)
            theirs.append([1.0])
        elif what == "time" and a.ratios and b.ratios:
            mine.append(a.ratios)
            theirs.append(b.ratios)
        else:
            mine.append(a.samples)
            theirs.append(b.samples)
    found = crossover(common, mine, theirs, between=BETWEEN if what == "time" else 0.0)
    return found.found, found.value, found.low, found.high, common[0], common[-1]


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
