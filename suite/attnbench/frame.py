"""Records as one tidy DataFrame, one row per record and metric."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.record import Record
from attnbench.spec import Spec
from attnbench.store import Problem, Store

if TYPE_CHECKING:
    import pandas as pd

AXES = tuple(f.name for f in dataclasses.fields(Spec))
COLUMNS = (
    *AXES,
    "d_model", "id", "fingerprint", "status", "reason", "stage", "machine", "session", "started_at", "duration_s", "trust",
    "attnbench_commit", "torch", "command", "metric", "unit", "value", "samples",
)  # fmt: skip

_UNIT_BY_ENDING = (("_tokens_per_s", "token/s"), ("_bytes", "B"), ("_s", "s"))
_UNIT_BY_NAME = {"flops": "FLOP", "parameters": "1"}


def load(results: str | Path, problems: list[Problem] | None = None) -> pd.DataFrame:
    """See `attnbench.load`. Lines that cannot be read are added to `problems`, or warned of when it is None."""
    found: list[Problem] = []
    table = frame(Store(results).read(found))
    if problems is not None:
        problems.extend(found)
    elif found:
        import warnings

        shown = "\n  ".join(str(problem) for problem in found[:10])
        warnings.warn(f"{len(found)} unreadable lines were skipped:\n  {shown}", stacklevel=3)
    return table


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row per record and metric; a record without measurements has one row whose metric and value are missing."""
    import pandas as pd

    rows = [row for record in records for row in _rows(record)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"value": "float64"})


def newest(records: Iterable[Record]) -> list[Record]:
    """The newest record of every cell and machine: what a reader is shown when a cell was measured again."""
    latest: dict[tuple[str, str], Record] = {}
    for record in records:
        key = record.machine, record.id
        if key not in latest or latest[key].started_at <= record.started_at:
            latest[key] = record
    return list(latest.values())


def unit(metric: str) -> str:
    """Unit of a metric, from its name.

    >>> unit("forward_s"), unit("peak_memory_bytes"), unit("accuracy")
    ('s', 'B', '1')
    """
    if metric in _UNIT_BY_NAME:
        return _UNIT_BY_NAME[metric]
    return next((unit for ending, unit in _UNIT_BY_ENDING if metric.endswith(ending)), "1")


def _rows(record: Record) -> Iterable[dict[str, Any]]:
    common = {
        **{axis: getattr(record.spec, axis) for axis in AXES},
        "d_model": record.spec.d_model,
        "id": record.id,
        "fingerprint": record.fingerprint,
        "status": record.status,
        "reason": record.reason,
        "stage": record.stage,
        "machine": record.machine,
        "session": record.session,
        "started_at": record.started_at,
        "duration_s": record.duration_s,
        "trust": record.origin.trust,
        "attnbench_commit": record.environment.get("commit"),
        "torch": record.environment.get("torch"),
        "command": record.command,
    }
    if not record.measurements:
        yield {**common, "metric": None, "unit": None, "value": float("nan"), "samples": []}
    for metric, samples in record.measurements.items():
        yield {**common, "metric": metric, "unit": unit(metric), "value": statistics.median(samples), "samples": samples}
