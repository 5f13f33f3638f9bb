"""Where cells run: one after the other on this machine, each in its own process. Yields records; storing them is the caller's."""

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
    """Run cells in order, each asked for when the record of the last is out.

    on_start is told which one begins; ran_out: what ran out of memory or time before.
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
