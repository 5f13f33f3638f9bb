"""Finds cells that are not to be tried: larger than one at which the same mechanism ran out of memory or time."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence

from attnbench.runner.cell import Cell, Key, Refusal
from attnbench.spec.axes import Spec
from attnbench.store.record import Record

AXIS = {"kernel": "seq_len", "depth": "num_layers"}  # along which a cell's cost grows
RAN_OUT = {"oom": "ran out of memory", "timeout": "ran out of time"}


class RanOut:
    """The smallest size at which each mechanism ran out, everything else being equal; the sources too."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._lowest: dict[Key, Record] = {}
        for record in records:
            self.add(record)

    def add(self, record: Record) -> None:
        """Take note of a record that ran out; others change nothing, nor do the gate's checks, which have no size."""
        if record.status not in RAN_OUT or record.spec.track not in AXIS or (record.stage or "").startswith("check"):
            return
        key = _key(record.spec, record.fingerprint)
        known = self._lowest.get(key)
        if known is None or _size(record.spec) < _size(known.spec):
            self._lowest[key] = record

    def why_not(self, spec: Spec, fingerprint: str) -> Refusal | None:
        """The refusal of a cell that should not be tried; None if it should be."""
        if spec.track not in AXIS:
            return None
        known = self._lowest.get(_key(spec, fingerprint))
        if known is None or _size(known.spec) >= _size(spec):
            return None
        axis = AXIS[spec.track]
        return Refusal("skipped", f"{RAN_OUT[known.status]} at {axis} {_size(known.spec):,}, so a larger one is not tried")


def smaller_sizes(cells: Sequence[Cell]) -> dict[Key, set[Key]]:
    """For each cell with a size, the cells before it that are smaller and like it otherwise: where one runs out it is not tried."""
    before: dict[Key, list[Cell]] = defaultdict(list)
    found: dict[Key, set[Key]] = {}
    for cell in cells:
        if cell.spec.track in AXIS:
            alike = before[_key(cell.spec, cell.fingerprint)]
            found[cell.key] = {other.key for other in alike if _size(other.spec) < _size(cell.spec)}
            alike.append(cell)
    return found


def _size(spec: Spec) -> int:
    size: int = getattr(spec, AXIS[spec.track])
    return size


def _key(spec: Spec, fingerprint: str) -> Key:
    axes = {name: value for name, value in spec.chosen().items() if name != AXIS[spec.track]}
    return fingerprint, json.dumps(axes, sort_keys=True)
