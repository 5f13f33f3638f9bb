"""How far softmax, timed in turn with a cell, lay from its own cells of the same setting and session."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from statistics import median

from attnbench.analysis.samples import BASELINE, positive
from attnbench.analysis.settings import Setting, setting_of
from attnbench.store.record import Record

OwnSeconds = Mapping[tuple[Setting, str], float]


def own_seconds(records: Iterable[Record], label: Callable[[Record], str]) -> OwnSeconds:
    """The seconds of softmax's own calls by setting and session: the median over its processes of their medians."""
    found: dict[tuple[Setting, str], list[float]] = {}
    for record in records:
        if record.spec.is_timed and label(record) == BASELINE and (time := positive(record, f"{record.spec.mode}_s")):
            found.setdefault((setting_of(record), record.session), []).append(time.value)
    return {key: median(of) for key, of in found.items()}


def of_session(own: OwnSeconds, record: Record) -> float | None:
    """Softmax's own seconds in the setting and session of a record; None where it was not measured there."""
    return None if not record.spec.is_timed else own.get((setting_of(record), record.session))


def anchor_distance(record: Record, own_s: float | None) -> tuple[float, float | None] | None:
    """What softmax took beside a cell, in seconds, and over what its own calls took, `own_s`, None where that is not known.

    None where softmax took no turns with the cell.
    """
    beside = positive(record, "anchor_s")
    return (beside.value, beside.value / own_s if own_s else None) if beside else None
