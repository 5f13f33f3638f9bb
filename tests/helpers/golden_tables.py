"""The tables of a fixed set of records as text; `make goldens` writes them anew, to be looked at before a commit."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from attnbench.analysis import overall, ranking, scaling
from attnbench.analysis.frame import frame
from attnbench.store.record import Record
from helpers import site_records
from helpers.paths import FIXTURES

FOLDER = FIXTURES / "tables"


def tables(records: Iterable[Record]) -> dict[str, str]:
    """Every table by name, as CSV; numbers to nine digits, which all platforms agree on."""
    table = frame(records)
    found = {f"{what}_{track}": ranking.ranking(table, what, track) for what, tracks in ranking.TRACKS.items() for track in tracks}
    for what in ("time", "memory"):
        for track in ("kernel", "depth"):
            found[f"growth_{what}_{track}"] = scaling.growth(table, what, track)
            found[f"crossovers_{what}_{track}"] = scaling.crossovers(table, what, track)
    found["feasible_time"] = scaling.feasible(table, "time", 0.05)
    found["feasible_memory"] = scaling.feasible(table, "memory", 1e9)
    found["profile"] = overall.profile(table, "training")
    found["frontiers_time"] = overall.frontiers(table)
    found["frontiers_memory"] = overall.frontiers(table, "memory")
    found["time_to_target"] = overall.time_to_target(table)
    found["task_ranks"] = pd.DataFrame(
        [vars(aggregate) | {"found": aggregate.found is not None} for aggregate in overall.task_ranks(table)]
    )
    return {name: of.to_csv(index=False, float_format="%.9g", lineterminator="\n") for name, of in found.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in tables(site_records.usual()).items():
        (FOLDER / f"{name}.csv").write_text(text, encoding="utf-8")
