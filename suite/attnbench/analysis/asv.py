"""Adds asv's results to the frame, for cells that no record has: measured on another checkout, or shared without records.

asv identifies a cell by its parameters alone; attnbench.spec.asv_params writes and reads them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

from attnbench.spec.asv_params import spec_of
from attnbench.spec.axes import Spec
from attnbench.store.asv_files import AsvRow, read_asv
from attnbench.store.metrics import is_time
from attnbench.store.record import Origin, Record
from attnbench.store.store import Problem, Store

FLAG = "asv's numbers have no drift anchor beside them, and so do not rank"

# Track and metric of each benchmark in benchmarks/, by asv's name of it.
_TRACKS = {"kernel.Kernel": "kernel", "depth.Depth": "depth", "task.Task": "task", "step.Step": "step"}
_METRICS = {
    "kernel.Kernel.time_call": "{mode}_s",
    "kernel.Kernel.track_anchor_ratio": "anchor_ratio",
    "kernel.Kernel.track_peak_memory": "peak_memory_bytes",
    "kernel.Kernel.track_flops": "flops",
    "depth.Depth.time_step": "{mode}_s",
    "depth.Depth.track_anchor_ratio": "anchor_ratio",
    "depth.Depth.track_peak_memory": "peak_memory_bytes",
    "depth.Depth.track_jacobian_condition": "jacobian_condition",
    "step.Step.time_step": "{mode}_s",
    "step.Step.track_anchor_ratio": "anchor_ratio",
    "step.Step.track_peak_memory": "peak_memory_bytes",
    "task.Task.time_training": "train_s",  # of before steps were timed apart
    "task.Task.track_steps_to_target": "steps_to_target",
    "task.Task.track_error_rate": "accuracy",
    "task.Task.track_peak_memory": "peak_memory_bytes",
}

# The axes by which asv identifies a cell, without learning rate and parameters. asv does not know the data; evaluate is always "test".
_shown = attrgetter(
    *(f.name for f in dataclasses.fields(Spec) if f.name not in ("params", "task_params", "data", "lr", "lr_grid")), "difficulty"
)


@dataclass(frozen=True, kw_only=True)
class AsvCell:
    """One metric of a cell from asv's results. It has the attributes of a Record; those that asv does not know are None.

    spec.params holds what the preset chose, not the defaults. measurements: asv's raw samples where it kept them, else its one value.
    """

    spec: Spec
    id: str
    machine: str
    started_at: str | None
    environment: Mapping[str, Any]
    measurements: dict[str, list[float]]
    clocks: dict[str, str]
    session: str = "asv"
    status: str = "ok"
    reason: None = None
    stage: None = None
    fingerprint: None = None
    duration_s: None = None
    command: None = None
    origin: Origin = field(default_factory=Origin)
    curve: Mapping[str, list[float | None]] = field(default_factory=dict)


def with_asv(results: Path, problems: list[Problem]) -> Iterator[Record | AsvCell]:
    """Yield every record of a results folder, then those of asv's cells that have no record; adds unreadable lines to `problems`.

    Raises BadInput when the results folder does not exist.
    """
    cells = asv_cells(results / "asv", problems)
    records = Store(results).read(problems)
    if not cells:  # the usual case; it needs no second look at the records
        yield from records
        return
    recorded = _Recorded(cells)
    for record in records:
        recorded.see(record)
        yield record
    yield from recorded.others()


def asv_cells(folder: Path, problems: list[Problem] | None = None) -> list[AsvCell]:
    """asv's newest value for each machine, cell and metric; none if the folder is missing."""
    newest: dict[tuple[str, ...], AsvCell] = {}
    for row in read_asv(folder, problems):
        track = _TRACKS.get(row.benchmark.rpartition(".")[0])
        if track is None or row.benchmark not in _METRICS or row.value is None:
            continue
        spec = spec_of(track, row.params)
        if spec is None:
            continue
        cell = _cell(row, spec, row.value)
        key = (cell.machine, cell.id, *cell.measurements)
        if key not in newest or _age(newest[key]) <= _age(cell):
            newest[key] = cell
    return list(newest.values())


def _cell(row: AsvRow, spec: Spec, value: float) -> AsvCell:
    metric = _METRICS[row.benchmark].format(mode=spec.mode)
    if metric == "accuracy":
        value = float(f"{1.0 - value:.12g}")  # asv holds the error rate; further digits are rounding noise of the subtraction
    samples = [sample for sample in row.samples or () if sample is not None] if is_time(metric) else []
    return AsvCell(
        spec=spec,
        id=spec.key(),
        machine=row.machine,
        started_at=row.started_at,
        environment={"commit": row.commit},
        measurements={metric: samples or [value]},
        clocks={metric: "wall"} if is_time(metric) else {},
    )


def _age(cell: AsvCell) -> tuple[str, str]:
    return cell.started_at or "", str(cell.environment["commit"])


class _Recorded:
    """Finds which of asv's cells have records.

    A record holds default parameters too, and asv's cell does not. So a record belongs to the cell that shares most parameters with it.
    """

    def __init__(self, cells: Sequence[AsvCell]) -> None:
        self._cells = cells
        self._known: dict[Hashable, set[frozenset[str]]] = {}
        self._found: set[Hashable] = set()
        for cell in cells:
            self._known.setdefault(_place(cell), set()).add(_texts(cell.spec))

    def see(self, record: Record) -> None:
        """Take note of a record."""
        place = _place(record)
        if place in self._known:
            own = _texts(record.spec)
            fitting = [params for params in self._known[place] if params <= own]
            if fitting:
                self._found.add((place, max(fitting, key=len)))

    def others(self) -> Iterator[AsvCell]:
        """The cells of which no record was seen."""
        return (cell for cell in self._cells if (_place(cell), _texts(cell.spec)) not in self._found)


def _place(cell: Record | AsvCell) -> Hashable:
    """The machine and axes by which asv identifies a cell; for a tuned cell all candidate rates, not the chosen one."""
    return cell.machine, *_shown(cell.spec), cell.spec.lr_grid or cell.spec.lr


def _texts(spec: Spec) -> frozenset[str]:
    return frozenset(f"{name} {value}" for name, value in spec.params.items())
