"""Picks the record of a cell that counts, where several measured it: one rule for the runner, the terminal, the frame and the site."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnbench.store.record import PYTEST_BENCHMARK, Record

Whole = NDArray[np.intp]


def newest_places(cells: Whole, sessions: Sequence[str], started_at: Sequence[str], imported: NDArray[np.bool_]) -> Whole:
    """The index of the record that counts for every cell, in the order of the cells' numbers.

    All four arguments have an entry for each record; the records of a session are in the order of its file. cells: the number of the
    record's cell on its machine. sessions, started_at: texts, "" where there is none. imported: whether the record was imported from
    pytest-benchmark.

    The rule: an imported record counts only where no other measured the cell. Within a session the later record in the file counts,
    whatever its started_at says, because a clock may be set back. Between sessions the record that began later counts; if both began at the
    same time, that of the session whose name sorts later.
    """
    session, began = _in_order(sessions), _in_order(started_at)
    kind = 2 * cells + ~imported  # sorts the imported records of a cell before its measured ones
    place = np.arange(len(cells))
    by_file = np.lexsort((place, session, kind))
    last = by_file[_ends((kind[by_file], session[by_file]))]
    by_age = last[np.lexsort((session[last], began[last], kind[last]))]
    return by_age[_ends((cells[by_age],))]


def newest(records: Iterable[Record], cell: Callable[[Record], Hashable]) -> list[Record]:
    """The record that counts for every cell, in the order in which the cells appear.

    records: the records of a session are in the order of its file. cell: gives the key of a record's cell, the machine included.
    """
    given = list(records)
    numbers: dict[Hashable, int] = {}
    cells = np.fromiter((numbers.setdefault(cell(record), len(numbers)) for record in given), dtype=np.intp, count=len(given))
    imported = np.fromiter((record.origin.by == PYTEST_BENCHMARK for record in given), dtype=np.bool_, count=len(given))
    places = newest_places(cells, [record.session for record in given], [record.started_at for record in given], imported)
    return [given[place] for place in places.tolist()]


def _in_order(texts: Sequence[str]) -> Whole:
    """A number for every text; numbers are in the sorted order of the texts."""
    numbers = {text: number for number, text in enumerate(sorted(set(texts)))}
    return np.fromiter(map(numbers.__getitem__, texts), dtype=np.intp, count=len(texts))


def _ends(columns: Sequence[NDArray[Any]]) -> NDArray[np.bool_]:
    """Whether each row is the last of its run of rows that are equal in all columns."""
    found = np.ones(len(columns[0]), dtype=bool)
    found[:-1] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return found
