"""Where cells run: one after the other on this machine, each in its own process. Yields records; storing them is the caller's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from attnbench.child import Limits, Start
from attnbench.gate import Gate
from attnbench.record import Record
from attnbench.run import Cell, run

Watch = Callable[[Cell], None]


def local(
    cells: Sequence[Cell],
    session: str,
    on_start: Watch,
    gate: Gate,
    start: Start = "forkserver",
    limits: Limits | None = None,
) -> Iterator[Record]:
    """Run cells in order. on_start is told which one begins."""
    for cell in cells:
        on_start(cell)
        yield run(cell, session, gate, start, limits)
