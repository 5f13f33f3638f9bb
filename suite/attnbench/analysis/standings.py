"""Ranks, growth, crossovers and average ranks over tasks of every setting, looked up by a record of that setting."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from attnbench.analysis.frontiers import frontiers
from attnbench.analysis.labels import Labels
from attnbench.analysis.overall import Aggregate, task_ranks
from attnbench.analysis.ranking import What, rankings
from attnbench.analysis.scaling import Cost, SeriesOf, crossovers_of, growth_of, series_of
from attnbench.analysis.settings import ALONG, SETTING, Setting, bench_of, setting_of, without
from attnbench.analysis.standing import AveragePlace, Crossing, Growth, Standing, by_setting, is_missing, resolution_of_row, standing_of
from attnbench.spec.protocol import PROTOCOLS
from attnbench.stats import Interval, Resolution, rank_ranges
from attnbench.store.record import Record

if TYPE_CHECKING:
    import pandas as pd


class Standings:
    """Looks up the statistics of a record's setting. Each table is computed when it is first asked for.

    table: from attnbench.analysis.frame.frame, with every record. labels: those of the whole table.
    """

    def __init__(self, table: pd.DataFrame, labels: Labels) -> None:
        self._table, self._labels = table, labels
        self._growths: dict[tuple[Cost, str], dict[Setting, dict[str, Growth]]] = {}
        self._all_series: dict[tuple[Cost, str], SeriesOf] = {}
        self._average_places: dict[tuple[tuple[str, ...], bool, str], dict[str, AveragePlace]] = {}
        self._settings: dict[int, tuple[Record, Setting]] = {}
        self._resolutions: dict[str, dict[Setting, Resolution]] = {}
        self._half_widths: dict[Setting, float] = {}
        self._frontiers: dict[str, dict[Setting, dict[str, str]]] = {}
        self._crossings: dict[tuple[Cost, str], dict[Setting, dict[str, dict[str, Crossing]]]] = {}

    def prepare(self) -> None:
        """Compute now the tables that more than one process will ask for."""
        self._places  # noqa: B018
        self._over_tasks  # noqa: B018
        self._series("time", "kernel")

    def places(self, what: What, record: Record) -> Mapping[str, Standing]:
        """The place of every mechanism in the record's setting, by label."""
        return self._places.get(record.spec.track, {}).get(what, {}).get(self._setting(record), {})

    def resolution(self, record: Record) -> Resolution | None:
        """The smallest ratio of times that the table of the record's setting can show; None where it ranks nothing by time."""
        self._places  # noqa: B018 (it fills them)
        return self._resolutions.get(record.spec.track, {}).get(self._setting(record))

    def half_width(self, record: Record) -> float | None:
        """How far apart two equal mechanisms may be by chance in the table of results of the record's setting; None if it is not known."""
        self._places  # noqa: B018 (it fills them)
        return self._half_widths.get(self._setting(record))

    def growth(self, what: Cost, record: Record) -> Mapping[str, Growth]:
        """How the cost of each mechanism grows over all sizes of the record's setting, by label."""
        track = record.spec.track
        if (what, track) not in self._growths:
            found: dict[Setting, dict[str, Growth]] = {}
            axes = [name for name in SETTING[track] if name != ALONG[track]]
            for key, row in by_setting(growth_of(self._series(what, track), what, track), axes):
                exponent = None if is_missing(row["value"]) else Interval(row["value"], row["low"], row["high"], 0.95)
                claimed = None if is_missing(row["claimed"]) else row["claimed"]
                why = None if is_missing(row["why"]) else row["why"]
                grown = Growth(exponent, row["sizes"], row["smallest"], row["largest"], claimed, why)
                found.setdefault(key, {})[row["label"]] = grown
            self._growths[what, track] = found
        return self._growths[what, track].get(self._without(record, ALONG[track]), {})

    def crossings(self, what: Cost, record: Record) -> Mapping[str, Mapping[str, Crossing]]:
        """Where each mechanism crosses each baseline over all sizes of the record's setting, by label and baseline."""
        track = record.spec.track
        if (what, track) not in self._crossings:
            found: dict[Setting, dict[str, dict[str, Crossing]]] = {}
            axes = [name for name in SETTING[track] if name != ALONG[track]]
            for key, row in by_setting(crossovers_of(self._series(what, track), what, track), axes):
                size = Interval(row["value"], row["low"], row["high"], 0.95)
                crossing = Crossing("" if is_missing(row["found"]) else row["found"], size, row["smallest"])
                found.setdefault(key, {}).setdefault(row["label"], {})[row["baseline"]] = crossing
            self._crossings[what, track] = found
        return self._crossings[what, track].get(self._without(record, ALONG[track]), {})

    def _series(self, what: Cost, track: str) -> SeriesOf:
        if (what, track) not in self._all_series:
            self._all_series[what, track] = list(series_of(self._table, what, track, self._labels))
        return self._all_series[what, track]

    def frontier(self, against: str, record: Record) -> Mapping[str, str]:
        """Whether each mechanism of the record's task setting is on the frontier, undecided or dominated, by label."""
        if against not in self._frontiers:
            found: dict[Setting, dict[str, str]] = {}
            for key, row in by_setting(frontiers(self._table, against, self._labels), SETTING["task"]):
                found.setdefault(key, {})[row["label"]] = row["place"]
            self._frontiers[against] = found
        return self._frontiers[against].get(self._setting(record), {})

    def over_tasks(self, record: Record) -> Aggregate | None:
        """Average ranks over the tasks of residual models on the record's bench, of its form, causal or not.

        Of a training run those of its protocol; of another record those of the newest that has some.
        """
        own = [record.spec.protocol] if record.spec.track == "task" else sorted(PROTOCOLS, reverse=True)
        found = (self._over_tasks.get((bench_of(record), record.spec.causal, name)) for name in own)
        return next((over for over in found if over), None)

    def _setting(self, record: Record) -> Setting:
        """The record's setting, computed once. It is kept with the record, so that no other gets its id()."""
        if id(record) not in self._settings:
            self._settings[id(record)] = record, setting_of(record)
        return self._settings[id(record)][1]

    def _without(self, record: Record, axis: str) -> Setting:
        """The setting of a record at all sizes."""
        return without(self._setting(record), record.spec.track, axis)

    def average_places(self, record: Record) -> Mapping[str, AveragePlace]:
        """The average rank over tasks of every mechanism, by label; empty where there is no average."""
        over = self.over_tasks(record)
        if over is None or over.found is None:
            return {}
        key = over.bench, over.causal, over.protocol
        if key not in self._average_places:
            places = zip(over.labels, over.ranks, rank_ranges(over.found.beats), strict=True)
            self._average_places[key] = {label: AveragePlace(rank, span) for label, rank, span in places}
        return self._average_places[key]

    @cached_property
    def _over_tasks(self) -> dict[tuple[tuple[str, ...], bool, str], Aggregate]:
        found = task_ranks(self._table, labels=self._labels)
        return {(aggregate.bench, aggregate.causal, aggregate.protocol): aggregate for aggregate in found}

    @cached_property
    def _places(self) -> dict[str, dict[What, dict[Setting, dict[str, Standing]]]]:
        found: dict[str, dict[What, dict[Setting, dict[str, Standing]]]] = {}
        for track, axes in SETTING.items():
            for what, table in rankings(self._table, track, self._labels).items():
                places = found.setdefault(track, {}).setdefault(what, {})
                for key, row in by_setting(table, axes):
                    places.setdefault(key, {})[row["label"]] = standing_of(row)
                    if what == "time" and (resolution := resolution_of_row(row)):
                        self._resolutions.setdefault(track, {})[key] = resolution
                    if not is_missing(row["half_width"]):
                        self._half_widths[key] = row["half_width"]
        return found
