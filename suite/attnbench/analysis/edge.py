"""Whether a learning rate that trials chose is the least or the greatest that was tried, so that a better one may lie beyond it.

Such a rate was chosen and is not tuned. It is one where the rates that a protocol may try end, and of most grids of two, all of whose rates
are at an edge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from attnbench.errors import BadInput
from attnbench.spec.axes import Spec
from attnbench.spec.protocol import PROTOCOLS
from attnbench.spec.tuning import base_rates

TRIED = "rates_tried"
MARK = " (edge)"  # after a rate
AT_EDGE = "its rate is at the edge of those that were tried"


class Run(Protocol):
    """What is read of a record."""

    @property
    def spec(self) -> Spec: ...

    @property
    def measurements(self) -> Mapping[str, list[float]]: ...


def at_edge(run: Run) -> bool | None:
    """Whether the rate of a run is at the edge of those that were tried; None where none was chosen or what was tried is not known."""
    tried = _tried(run)
    if run.spec.lr is None or not tried:
        return None
    rate = run.spec.lr
    return min(tried, key=lambda one: abs(one - rate)) in (min(tried), max(tried))  # a grid in words has three digits


def _tried(run: Run) -> Sequence[float]:
    """The rates that were tried: what the record says, or the grid, where the protocol tries no other."""
    if run.spec.lr_grid is None:
        return ()
    if held := run.measurements.get(TRIED):
        return held
    protocol = PROTOCOLS.get(run.spec.protocol)
    with suppress(BadInput):  # of a record that somebody edited
        return base_rates(run.spec) if protocol and not protocol.rates else ()
    return ()


def edges_text(runs: Mapping[str, Sequence[Run]]) -> str:
    """Which mechanisms have a rate at an edge, as a sentence; empty where none has. runs: by label."""
    chosen = {label: told for label, mine in sorted(runs.items()) if (told := [edge for run in mine if (edge := at_edge(run)) is not None])}
    found = [label for label, told in chosen.items() if any(told)]
    whose = "every mechanism" if len(found) == len(chosen) > 1 else ", ".join(found)
    return f"Chosen, not tuned: the best rate is at the edge of those that were tried, of {whose}." if found else ""
