"""Trainings side by side: the same numbers as one after the other, and what is timed alone."""

from __future__ import annotations

import os
import signal
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from attnbench.runner.cell import Cell, resolve
from attnbench.runner.engines import run_cells
from attnbench.runner.engines.local import Local, default_jobs
from attnbench.runner.gate import Gate
from attnbench.runner.here import Machine
from attnbench.runner.jobs import Limits
from attnbench.runner.larger_sizes import RanOut
from attnbench.runner.plan import Plan
from attnbench.runner.schedule import Schedule
from attnbench.runner.session import Session
from attnbench.spec.axes import Spec
from attnbench.store import environment
from attnbench.store.record import Record
from helpers.killed_runs import TRAININGS, marked, running
from helpers.misbehaving import PATIENCE_S, wait_for
from helpers.records import make_spec

SMALL = {"block": "residual", "num_layers": 1, "num_heads": 2, "head_dim": 8, "batch_size": 64, "epochs": 2, "lr": 3e-3}


def trainings(number: int) -> list[Cell]:
    return [resolve(Spec(track="task", variant="softmax", task="digits", seed=seed, **SMALL)) for seed in range(number)]


def run(cells: list[Cell], results: Path, jobs: int) -> dict[str, Record]:
    gate = Gate(results)
    engine = Local(Session("session"), jobs=jobs)
    return {record.id: record for record in run_cells(Schedule(Plan(cells, {}, lambda cell: False), gate, RanOut()), gate, engine)}


@pytest.mark.parametrize(
    ("device", "gibibytes", "jobs"), [("cpu", 256, 64), ("cpu", 30, 10), ("cpu", 1, 1), ("cpu", None, 64), ("cuda", 256, 1)]
)
def test_as_many_run_side_by_side_as_there_are_cores_and_memory_for(
    device: str, gibibytes: int | None, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "physical_cores", lambda: 64)
    assert default_jobs(Machine("rack", device, {"memory_bytes": gibibytes and gibibytes * 2**30}, False)) == jobs
    shared = Limits().shared_by(jobs)
    assert (shared.jobs, shared.memory_share) == (jobs, 0.75 / jobs) and shared.alone() == Limits()


def span(record: Record) -> tuple[datetime, datetime]:
    began = datetime.fromisoformat(record.started_at)
    return began, began + timedelta(seconds=record.duration_s)


@pytest.mark.alone
def test_two_at_once_learn_the_same_bit_for_bit_as_one_after_the_other(results: Path) -> None:
    cells = [*trainings(4), resolve(make_spec(seq_len=16))]
    one, two = (run(cells, results, jobs) for jobs in (1, 2))
    assert one.keys() == two.keys() and len(one) == 5
    for id, record in one.items():
        other = two[id]
        assert (record.status, other.status) == ("ok", "ok"), (record.reason, other.reason)
        if record.spec.track == "task":
            assert record.measurements == other.measurements
            assert {**record.curve, "wall_s": None} == {**other.curve, "wall_s": None}
            assert (record.environment["threads"], other.environment["threads"]) == (1, 1)
            assert (record.environment["beside"], other.environment["beside"]) == (0, 1)
        else:
            assert "beside" not in other.environment and "other_load" in other.environment


def test_a_failure_of_the_engine_itself_is_raised_and_ends_what_runs(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: object) -> Record:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr("attnbench.runner.engines.local.run", broken)
    with pytest.raises(ZeroDivisionError, match="a fault of ours"):
        run(trainings(2), results, 2)


@pytest.mark.parametrize("told", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_ctrl_c_and_a_batch_system_end_all_that_run_and_keep_what_is_finished(results: Path, told: signal.Signals) -> None:
    with running(results, "--jobs", "2", grid=TRAININGS) as (process, mark):
        assert process.stdout is not None
        next(line for line in process.stdout if "2 at once" in line)
        os.kill(process.pid, told)
        printed, complained = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, complained) == (130, "")
        wait_for(lambda: not marked(mark))
    assert "the same command goes on with the other" in printed
