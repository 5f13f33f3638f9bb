"""Filters of results by track, variant and machine, as commands take them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.errors import BadInput, unknown_name
from attnbench.store.record import Record

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Filter:
    """The track, variant and machine to show; None means all."""

    track: str | None = None
    variant: str | None = None
    machine: str | None = None

    def holds(self, record: Record) -> bool:
        """Whether a record is to be shown."""
        return (
            self.track in (None, record.spec.track)
            and self.variant in (None, record.spec.variant)
            and self.machine in (None, record.machine)
        )


def filtered(table: pd.DataFrame, results: Path, wanted: Filter) -> pd.DataFrame:
    """The rows of a frame that the filter selects. Raises BadInput when it is empty, or has no such track, variant or machine."""
    if table.empty:
        raise BadInput(f"{results} holds no records yet; run `attnbench run --results {results}` first")
    for what in ("track", "variant", "machine"):
        name, known = getattr(wanted, what), set(table[what].dropna().unique())
        if name is not None and name not in known:
            raise unknown_name(what, name, known, f"what {results} holds")
        if name is not None:
            table = table[(table[what] == name).to_numpy()]
    return table
