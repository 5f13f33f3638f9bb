"""Which record of a cell counts, of all that measured it: one rule for the runner, the terminal, the frame and the site."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnbench.store.record import PYTEST_BENCHMARK, Record

Whole = NDArray[np.intp]


def newest_places(cells: Whole, sessions: Sequence[str], started_at: Sequence[str], imported: NDArray[np.bool_]) -> Whole:
    """The place of the record that counts of every cell, in the order of the cells' numbers.

    All four have an entry for each record, and records of one session stand in the order of its file. cells: a number for each cell, of
    one machine. sessions, started_at: texts, "" where there is none. imported: whether the record is a time from pytest-benchmark alone.

    The rule: an imported record counts only where no other measured the cell. Within a session the later record in the file is the newer
    one, whatever its started_at says, for a clock may be set back. Of two sessions the one whose record began later; of equal ones the
    one whose name comes later.
    """
    session, began = _in_order(sessions), _in_order(started_at)
    kind = 2 * cells + ~imported  # of a cell what was imported, then what was measured
    place = np.arange(len(cells))
    by_file = np.lexsort((place, session, kind))
    last = by_file[_ends((kind[by_file], session[by_file]))]
    by_age = last[np.lexsort((session[last], began[last], kind[last]))]
    return by_age[_ends((cells[by_age],))]


def newest(records: Iterable[Record], cell: Callable[[Record], Hashable]) -> list[Record]:
    """The record that counts of every cell, in the order in which cells appear.

    records: those of one session in the order of its file. cell: what is the same for records of one cell, the machine included.
    """
    given = list(records)
    numbers: dict[Hashable, int] = {}
    cells = np.fromiter((numbers.setdefault(cell(record), len(numbers)) for record in given), dtype=np.intp, count=len(given))
    imported = np.fromiter((record.origin.by == PYTEST_BENCHMARK for record in given), dtype=np.bool_, count=len(given))
    places = newest_places(cells, [record.session for record in given], [record.started_at for record in given], imported)
    return [given[place] for place in places.tolist()]


def _in_order(texts: Sequence[str]) -> Whole:
    """A number for every text, in the order of the texts."""
    numbers = {text: number for number, text in enumerate(sorted(set(texts)))}
    return np.fromiter(map(numbers.__getitem__, texts), dtype=np.intp, count=len(texts))


def _ends(columns: Sequence[NDArray[Any]]) -> NDArray[np.bool_]:
    """Whether each row is the last of its run of rows that are equal in all columns."""
    found = np.ones(len(columns[0]), dtype=bool)
    found[:-1] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return found
