"""The local engine: runs cells one after the other on this machine, each in its own process. Yields records; the caller stores them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from attnbench.runner.cell import Cell
from attnbench.runner.larger_sizes import RanOut
from attnbench.runner.session import Session, not_tried, run
from attnbench.store.record import Record

OnStart = Callable[[Cell], None]


def run_cells(
    cells: Iterable[Cell], session: Session, on_start: OnStart = lambda cell: None, ran_out: RanOut | None = None
) -> Iterator[Record]:
    """Run cells in order; a cell is taken from `cells` only after the record of the one before was yielded.

    on_start: called with each cell that begins. ran_out: what ran out of memory or time before.
    """
    ran_out = ran_out or RanOut()
    for cell in cells:
        why_not = cell.refused or ran_out.why_not(cell.spec, cell.fingerprint)
        if why_not is not None:
            yield not_tried(cell, session, why_not)
            continue
        on_start(cell)
        record = run(cell, session)
        ran_out.add(record)
        yield record
