"""What a mechanism learnt in a setting: the mean over its seeds, with the interval by which it is ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attnbench.analysis.diverged import COUNTED, diverged_text
from attnbench.analysis.edge import edges_text
from attnbench.analysis.samples import over_seeds
from attnbench.analysis.standings import Standings
from attnbench.stats import Interval
from attnbench.store.record import Record


def learnt(standings: Standings, records: Sequence[Record], label: str, metric: str) -> tuple[Interval, list[float]] | None:
    """Mean, interval and the value of each seed; None where no seed gave one. Without a rank the interval is of the seeds alone.

    records: of one mechanism in one setting. label: of the mechanism.
    """
    found = over_seeds(records, metric)
    place = standings.places("result", records[0]).get(label) if found else None
    return (place.interval, found[1]) if found and place and place.rank and place.interval else found


def training_notes(runs: Mapping[str, Sequence[Record]]) -> tuple[str, ...]:
    """What must be said of how the mechanisms of a setting were trained: whose rate is at an edge, and what a diverged seed counts as.

    runs: the records of each mechanism, by label. Empty where nothing must be said.
    """
    lost = COUNTED if any(map(diverged_text, runs.values())) else ""
    return tuple(filter(None, (edges_text(runs), lost)))
