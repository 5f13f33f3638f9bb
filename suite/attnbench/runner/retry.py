"""Chooses, among the cells of a run, those whose newest record is an error: what `attnbench run --retry errors` asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attnbench.errors import unknown_name
from attnbench.runner.cell import Cell, Key
from attnbench.runner.plan import tuned
from attnbench.spec.axes import Spec
from attnbench.store.newest import newest
from attnbench.store.record import Record

RETRIED = ("errors",)  # the values of --retry


def newest_by_id(records: Iterable[Record]) -> dict[str, Record]:
    """The newest record of every cell, whatever its sources, by its id. records: of one machine."""
    return {record.id: record for record in newest(records, cell=lambda record: record.id)}


def failed_cells(cells: Sequence[Cell], known: Mapping[Key, Record], what: str) -> list[Cell]:
    """The cells whose newest record is an error. For a cell with a rate to choose it is the record with the rate that its trials choose.

    what: the value of --retry. Raises BadInput for any but "errors".
    """
    if what not in RETRIED:
        raise unknown_name("--retry", what, RETRIED, "attnbench run --help")
    failed = {id for id, record in newest_by_id(known.values()).items() if record.status == "error"}
    return [cell for cell in cells if any(spec.key() in failed for spec in _chosen(cell, known))]


def _chosen(cell: Cell, known: Mapping[Key, Record]) -> list[Spec]:
    """The spec under which a cell was recorded, as far as its trials tell; none where they do not."""
    found = tuned(cell, lambda trial: known.get(trial.key))
    return [found.spec] if isinstance(found, Cell) else []
