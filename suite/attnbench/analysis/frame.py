"""Makes one tidy DataFrame of records, one row per record and metric."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from attnbench.analysis.asv import FLAG, AsvCell, with_asv
from attnbench.analysis.drift import Drifts, SessionKey
from attnbench.analysis.edge import at_edge
from attnbench.analysis.gc_pause import collector_paused
from attnbench.analysis.unverified import FACT as NOT_COMPARED
from attnbench.spec.axes import Spec
from attnbench.store.disturbed import disturbance
from attnbench.store.metrics import CURVE, as_meant, unit
from attnbench.store.ran_on import ran_on
from attnbench.store.record import Record
from attnbench.store.store import Problem

if TYPE_CHECKING:
    import pandas as pd

AXES = tuple(f.name for f in dataclasses.fields(Spec))
COLUMNS = (
    *AXES,
    "d_model", "id", "cell", "fingerprint", "status", "reason", "stage", "machine", "session", "started_at", "duration_s", "by", "trust",
    "attnbench_commit", "dirty", "protocol_fingerprint", "torch", "architecture", "threads", "gpu", "timing", "implementation",
    "not_compared", "command", "flagged", "drift", "slower", "at_edge",
    "metric", "unit", "clock", "value", "samples",
)  # fmt: skip

_TEXT_AXES = tuple(name for name, hint in get_type_hints(Spec).items() if hint in (str, str | None))
# Columns with one value per record, and the attribute of the record that holds it.
_TEXTS = {
    **{axis: f"spec.{axis}" for axis in _TEXT_AXES},
    **{name: name for name in ("id", "fingerprint", "status", "reason", "stage", "machine", "session", "started_at", "command")},
    "task_params": "spec.difficulty",
    "by": "origin.by",
    "trust": "origin.trust",
}
# Texts of the environment.
_FACTS = {
    "attnbench_commit": "commit",
    "protocol_fingerprint": "protocol",
    **{name: name for name in ("torch", "architecture", "timing", "implementation", NOT_COMPARED)},
}
_ALL_TEXTS = (*_TEXTS, "cell", *_FACTS, "gpu")
_NUMBERS = {
    **{axis: f"spec.{axis}" for axis in AXES if axis not in (*_TEXT_AXES, "params", "task_params")},
    "d_model": "spec.d_model",
    "duration_s": "duration_s",
}
_ALL_NUMBERS = (*_NUMBERS, "threads", "dirty", "at_edge")


def load(results: str | Path, problems: list[Problem] | None = None, curves: bool = False) -> pd.DataFrame:
    """The frame of a results folder, as `attnbench.load` says. Adds unreadable lines to `problems`; warns of them when it is None."""
    found: list[Problem] = []
    table = _framed(with_asv(Path(results), found), curves)
    if problems is not None:
        problems.extend(found)
    elif found:
        import warnings

        shown = "\n  ".join(str(problem) for problem in found[:10])
        warnings.warn(f"{len(found)} unreadable lines were skipped:\n  {shown}", stacklevel=3)
    return table


def frame(records: Iterable[Record], curves: bool = False) -> pd.DataFrame:
    """One row per record and metric; a record without measurements has one row whose metric and value are missing.

    curves: adds a row for each column of a training curve, with the metric `curve.NAME`. Its samples are the column's numbers in the order
    of epochs, and its value is the last of them.
    """
    return _framed(records, curves)


def _framed(records: Iterable[Record | AsvCell], curves: bool) -> pd.DataFrame:
    """The frame, built by columns: rows as dicts take five times as long and twice the memory."""
    with collector_paused():
        return _table(_gather(records, curves))


def _table(found: _Gathered) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    rows = np.array(found.rows, dtype=np.intp)
    columns: dict[str, Any] = {"params": np.repeat(_objects(found.params), rows)}
    for name, texts in zip(_ALL_TEXTS, _transposed(found.texts, len(_ALL_TEXTS)), strict=True):
        columns[name] = _text(texts).repeat(rows)
    for name, numbers in zip(_ALL_NUMBERS, _transposed(found.numbers, len(_ALL_NUMBERS)), strict=True):
        columns[name] = np.repeat(np.array(numbers, dtype=np.float64 if None in numbers else None), rows)
    columns |= {name: of.repeat(rows) for name, of in _judgements(found).items()}
    metrics, metric_of = _coded(found.metrics)
    columns["metric"] = _text(metrics).take(metric_of)
    columns["unit"] = _text([None if metric is None else unit(metric) for metric in metrics]).take(metric_of)
    clocks, clock_of = _coded(found.clocks)
    columns["clock"] = _text(clocks).take(clock_of)
    values = np.array([_median(samples) for samples in found.samples], dtype=np.float64)
    is_curve = np.array([metric is not None and metric.startswith(CURVE) for metric in metrics], dtype=bool)
    for row in np.flatnonzero(is_curve.take(metric_of)):
        values[row] = found.samples[row][-1]
    columns["value"] = values
    columns["samples"] = _objects(found.samples)
    return pd.DataFrame({name: columns[name] for name in COLUMNS}, copy=False)


def _judgements(found: _Gathered) -> dict[str, Any]:
    """The columns that say which times count, with a value for each record."""
    import numpy as np

    is_record = np.array([session is not None for session in found.sessions], dtype=bool)
    flags, speeds = found.drifts.flags(), found.drifts.speeds()
    drift, slower = np.full(len(is_record), None, dtype=object), np.ones(len(is_record))  # asv's cells have no speed
    drift[is_record], slower[is_record] = speeds.why, speeds.slower
    of_session = (FLAG if session is None else flags.get(session) for session in found.sessions)
    flagged = [own or of for own, of in zip(found.disturbed, of_session, strict=True)]
    return {"flagged": _text(flagged), "drift": _text(drift.tolist()), "slower": slower}


def _cell(record: Record | AsvCell) -> str:
    """The id of the record's cell; if its learning rate was tuned, the id before a rate was chosen."""
    return record.id if record.spec.lr_grid is None else dataclasses.replace(record.spec, lr=None).key()


@dataclass(frozen=True)
class _Gathered:
    """The contents of the frame.

    For each record: texts, numbers, params, sessions (None for asv's), disturbed (why, or None) and rows (how many). For each row:
    metrics, clocks and samples.
    """

    texts: list[tuple[str | None, ...]] = field(default_factory=list)
    numbers: list[tuple[Any, ...]] = field(default_factory=list)
    params: list[Any] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    metrics: list[str | None] = field(default_factory=list)
    clocks: list[str | None] = field(default_factory=list)
    samples: list[list[float]] = field(default_factory=list)
    sessions: list[SessionKey | None] = field(default_factory=list)
    disturbed: list[str | None] = field(default_factory=list)
    drifts: Drifts = field(default_factory=Drifts)


def _gather(records: Iterable[Record | AsvCell], curves: bool) -> _Gathered:
    """Copy what the frame needs from each record, so that the record's memory can be freed."""
    found = _Gathered()
    texts_of, numbers_of = attrgetter(*_TEXTS.values()), attrgetter(*_NUMBERS.values())
    same = dict[str | None, str | None]().setdefault  # equal texts of all records become one object
    for record in records:
        facts = [record.environment.get(fact) for fact in _FACTS.values()]  # an environment may hold anything
        part = ran_on(record.spec.device, record.environment)
        said = (fact if isinstance(fact, str) and fact else None for fact in facts)
        texts = (*texts_of(record), _cell(record), *said, part.gpu or None)
        found.texts.append(tuple(map(same, texts, texts)))
        flags = (float(flag) if isinstance(flag, bool) else None for flag in (record.environment.get("dirty"), at_edge(record)))
        found.numbers.append((*numbers_of(record), part.threads, *flags))
        found.params.append(record.spec.params)
        if isinstance(record, Record):
            found.sessions.append((record.machine, record.session))
            found.disturbed.append(disturbance(record))
            found.drifts.see(record)
        else:
            found.sessions.append(None)
            found.disturbed.append(None)
        measured: Mapping[Any, list[float]] = record.measurements
        if curves and record.curve:
            measured = {**measured, **_curve(record.curve)}
        measured = measured or {None: []}
        found.rows.append(len(measured))
        found.metrics.extend(measured)
        found.clocks.extend(map(record.clocks.get, measured))
        found.samples.extend(as_meant(metric or "", samples) for metric, samples in measured.items())
    return found


def _curve(columns: Mapping[str, list[float | None]]) -> dict[str, list[float]]:
    """The numbers of a curve's columns by metric; a column without any is left out."""
    numbers = {name: [value for value in values if value is not None] for name, values in columns.items()}
    return {f"{CURVE}{name}": values for name, values in numbers.items() if values}


def _transposed(rows: Sequence[tuple[Any, ...]], width: int) -> Iterable[tuple[Any, ...]]:
    return zip(*rows, strict=True) if rows else [()] * width


def _text(values: Sequence[str | None]) -> Any:
    """A column of Python strings: equal ones share their memory over all rows, as Arrow's strings do not."""
    import numpy as np
    import pandas as pd

    return pd.array(values, dtype=pd.StringDtype("python", na_value=np.nan))


def _objects(values: Sequence[object]) -> Any:
    """A column of Python objects, not converted by numpy."""
    import numpy as np

    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _coded(values: Sequence[str | None]) -> tuple[list[str | None], Any]:
    """The distinct values, and the index of every value among them."""
    import numpy as np

    places = {value: place for place, value in enumerate(dict.fromkeys(values))}
    return list(places), np.fromiter(map(places.__getitem__, values), dtype=np.intp, count=len(values))


def _median(samples: list[float]) -> float:
    if len(samples) == 1:
        return samples[0]
    return statistics.median(samples) if samples else float("nan")
