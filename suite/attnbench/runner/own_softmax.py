"""Says which cells of softmax a run measures again, or lacks: a published ratio is over softmax's own cells of the same session."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from attnbench.runner.cell import Cell, Key
from attnbench.spec.axes import Spec
from attnbench.spec.own_cells import BASELINE
from attnbench.store.record import Record


def measured_again(cells: Sequence[Cell], is_finished: Callable[[Cell], bool]) -> set[Key]:
    """The finished cells of softmax among these beside which another cell, of the same axes but the mechanism, is to do."""
    due = {_axes(cell.spec) for cell in cells if not _is_softmax(cell.spec) and _is_timed(cell) and not is_finished(cell)}
    return {cell.key for cell in cells if _is_softmax(cell.spec) and _axes(cell.spec) in due and is_finished(cell)}


def without_softmax(todo: Iterable[Cell], records: Iterable[Record]) -> list[Cell]:
    """The cells to do whose setting has records of softmax, but no cell of it to do.

    records: of this machine, that were made before this session.
    """
    to_do = list(todo)
    own = {_setting(cell.spec) for cell in to_do if _is_softmax(cell.spec)}
    before = {_setting(record.spec) for record in records if _is_softmax(record.spec) and record.status == "ok"}
    return [cell for cell in to_do if _is_timed(cell) and _setting(cell.spec) in before - own]


def _is_softmax(spec: Spec) -> bool:
    return spec.variant == BASELINE


def _is_timed(cell: Cell) -> bool:
    """Whether the cell is to have a time: one that was refused beforehand, and is due at every run, has none."""
    return cell.is_timed


def _axes(spec: Spec) -> str:
    return dataclasses.replace(spec, variant=BASELINE, params={}).key()


def _setting(spec: Spec) -> str:
    return dataclasses.replace(spec, variant=BASELINE, params={}, seed=0).key()
