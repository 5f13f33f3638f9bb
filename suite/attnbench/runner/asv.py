"""Runs the harness under asv: a preset as asv parameters, each cell measured once, its medians replayed to asv's clock.

asv starts one process for each benchmark, parameter and metric. The first to need a cell measures it, in a child for each of the cell's
processes, and appends the records; the others read them. asv is given one sample a process, the median of the harness's own: samples of one
process are alike in what another one would not repeat, and asv would take their narrow spread for all the noise that there is. asv's own
ways of taking more of them (-a repeat, -a rounds, --append-samples) could only count the same ones again.
"""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import os
import sys
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from attnbench.errors import AttnbenchError, BadInput
from attnbench.runner.cell import Cell, Key, resolve
from attnbench.runner.engines.local import run_one_by_one
from attnbench.runner.finished import Finished
from attnbench.runner.gate import Gate
from attnbench.runner.here import this_machine
from attnbench.runner.jobs import Limits
from attnbench.runner.parent import Start
from attnbench.runner.plan import tuned
from attnbench.runner.quiet import Quiet
from attnbench.runner.roofline import Roof
from attnbench.runner.session import Session, session_name
from attnbench.spec import presets
from attnbench.spec.asv_params import AXES, SETTING, Values, values_of
from attnbench.spec.axes import Spec
from attnbench.store.record import Record
from attnbench.store.store import Store

PATIENCE_S = 10.0  # with a busy machine before the first cell of asv's run; after that, cells are marked and nothing is waited for
START: Start = "fork"  # of a cell's process: asv's own has imported torch and computed nothing, so that it can be forked as it is


class CellFailed(AttnbenchError):
    """The cell has no numbers; asv shows a failure, the record keeps the reason."""


class ReplayClock:
    """A clock for timeit that makes its n-th measurement last as long as the n-th sample.

    timeit reads the clock twice a measurement; every second reading is one sample later. Raises CellFailed when none are left.
    """

    def __init__(self, samples: list[float]) -> None:
        self._samples = list(samples)
        self._readings = 0
        self._now = 0.0

    def __call__(self) -> float:
        sample, ends = divmod(self._readings, 2)
        if sample == len(self._samples):
            raise CellFailed(f"asv asks for more than the {sample} samples that the harness took; leave out -a repeat")
        self._now += self._samples[sample] if ends else 0.0
        self._readings += 1
        return self._now


class Benchmark:
    """Base of asv's benchmark classes: `track` names the harness's track, the seconds of whose mode asv's clock replays."""

    track: str
    number, rounds, warmup_time, min_run_count = 1, 1, 0, 1
    timeout = 7200.0
    version = "4"  # by hand, raised when the harness measures something else: asv would hash the three lines in benchmarks/

    def __init_subclass__(cls) -> None:
        cls.results = Path(inspect.getfile(cls)).resolve().parents[1] / "results"  # beside asv.conf.json
        cells = cells_of(cls.track)
        columns = list(zip(*cells, strict=True)) or [()] * (len(AXES[cls.track]) + 1)  # a preset may have no cell of a track
        cls.param_names = [*AXES[cls.track], SETTING]
        cls.params = [list(dict.fromkeys(column)) for column in columns]
        # The preset's cells are a part of the product that asv makes of the columns.
        cls.skip_params = [values for values in itertools.product(*cls.params) if values not in cells]
        for spec in itertools.chain(*cells.values()):  # reads every source once, in the process that asv forks for each of them
            resolve(spec)

    results: Path
    params: list[list[Any]]
    param_names: list[str]
    skip_params: list[Values]

    def setup(self, *values: Any) -> None:
        """Measure the cell, or find its records; asv calls this before every clock reading, so the records are kept.

        Raises NotImplementedError (asv's word for skipped) or CellFailed where one of its processes gave no numbers.
        """
        self.records = records_of(self.track, values, self.results)
        for record in self.records:
            if record.status in ("skipped", "unavailable"):
                raise NotImplementedError(record.reason)
            if record.status != "ok":
                raise CellFailed(f"{record.status} at {record.stage}: {record.reason}")
        if not self.records[0].spec.is_timed:
            return
        samples = [median(record.measurements[f"{record.spec.mode}_s"]) for record in self.records]
        self.repeat = len(samples)
        self.timer = ReplayClock(samples)

    def value(self, metric: str) -> float:
        """The median over processes of the medians of a metric's samples; NaN, which asv shows as skipped, where a process has none."""
        return median(median(record.measurements.get(metric) or [float("nan")]) for record in self.records)


@cache
def cells_of(track: str) -> dict[Values, tuple[Spec, ...]]:
    """The preset's cells of a track, each in all of its processes, by their values on asv's axes.

    Only of a training run the seed is an axis of asv's: of the other tracks another seed is another process of the same cell.
    """
    device = os.environ.get("ATTNBENCH_DEVICE", "cpu")
    machine = this_machine(device)
    preset = presets.load(os.environ.get("ATTNBENCH_PRESET", "quick"))
    cells: dict[Values, tuple[Spec, ...]] = {}
    for spec in preset.specs(device):
        if spec.track == track and machine.is_for(spec):
            values = values_of(dataclasses.replace(spec, seed=0) if spec.is_timed else spec)
            if any(spec.seed == other.seed for other in cells.get(values, ())):
                raise BadInput(f"two {track} cells of the preset share {values}; tell them apart in spec/asv_params.py")
            cells[values] = (*cells.get(values, ()), spec)
    return cells


@cache
def records_of(track: str, values: Values, results: Path) -> list[Record]:
    """The finished records of a cell's processes; those that there are not are measured now."""
    return [_finished(resolve(spec), results) for spec in cells_of(track)[values]]


def _finished(cell: Cell, results: Path) -> Record:
    """The finished record of a cell, measured now if there is none; where its rate is tuned, its trials are measured first."""
    known: dict[Key, Record] = {}

    def record_of(trial: Cell) -> Record | None:
        return known.get(trial.key)

    while isinstance(chosen := tuned(cell, record_of), list):
        known.update({trial.key: _record(trial, results) for trial in chosen})
    return _record(chosen, results)


def _record(cell: Cell, results: Path) -> Record:
    """The finished record of a cell, measured now if there is none.

    Only records of the same sources are read, for no other decides anything, and asv starts a process for every parameter and metric.
    """
    store, gate, session, machine = Store(results), Gate(results), session_name(of_parent=True), this_machine(cell.spec.device)
    known = store.finished(machine.name, cell.fingerprint, machine.measured, machine.can_use)
    finished = Finished(known, gate, Limits(), session)
    if found := finished.record(cell):
        return found
    begins = not store.file(machine.name, session).exists()  # every process would have patience of its own
    quiet = Quiet(PATIENCE_S if begins else 0.0, lambda said: print(said, file=sys.stderr))
    shared = Session(session, start=START, roof=Roof(results, START), checkpoints=results / "checkpoints", quiet=quiet)
    (record,) = run_one_by_one([cell], shared, gate, finished.ran_out)
    store.append(record)
    return record
