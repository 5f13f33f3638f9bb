"""Where cells run: one after the other on this machine, each in its own process. Yields records; storing them is the caller's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from attnbench.runner.cell import Cell
from attnbench.runner.larger_sizes import Ladder
from attnbench.runner.session import Session, not_tried, run
from attnbench.store.record import Record

Watch = Callable[[Cell], None]


def local(cells: Iterable[Cell], session: Session, on_start: Watch = lambda cell: None, ladder: Ladder | None = None) -> Iterator[Record]:
    """Run cells in order, each asked for when the record of the last is out.

    on_start is told which one begins; ladder knows what ran out of memory or time before.
    """
    ladder = ladder or Ladder()
    for cell in cells:
        why_not = cell.refused or ladder.why_not(cell.spec, cell.fingerprint)
        if why_not is not None:
            yield not_tried(cell, session, why_not)
            continue
        on_start(cell)
        record = run(cell, session)
        ladder.add(record)
        yield record
