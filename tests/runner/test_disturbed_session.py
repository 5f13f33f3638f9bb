"""A busy process beside half of a session: every cell that it touched is marked, and the same command later measures those again."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

from attnbench.runner.cell import resolve
from attnbench.runner.finished import Finished
from attnbench.runner.gate import Gate
from attnbench.runner.jobs import Limits
from attnbench.store.disturbed import disturbance
from attnbench.store.record import Record
from attnbench.store.store import Store
from helpers.busy_process import busy_process
from helpers.records import TASK, make_record, make_spec

CELLS, UNDISTURBED = 8, 4
PROGRAM = """
from attnbench.cli import main
from attnbench.spec.presets import _KERNEL, PRESETS, Grid, Preset
small = Grid("kernel", ("softmax", "orthogonal"), {"mode": ("forward", "training"), "seq_len": (128, 256)}, _KERNEL)
PRESETS["quick"] = Preset("eight cells", (small,))
main()
"""


def run(results: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-c", PROGRAM, "run", "--results", str(results), *more], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "COLUMNS": "160"},
    )  # fmt: skip


def records_of(results: Path) -> list[Record]:
    return list(Store(results).read())


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="the system does not say what others use")
def test_what_a_busy_process_touched_is_marked_and_measured_again_and_nothing_else(results: Path) -> None:
    """Whatever else this machine does meanwhile adds to all cells alike, and may mark more of them: then those are due, too."""
    with run(results, "--busy") as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith(f"[{UNDISTURBED + 1}/{CELLS}]"))  # the first is touched in part, or not
        with busy_process():
            printed, _ = process.communicate()
    first = records_of(results)
    assert [record.status for record in first] == ["ok"] * CELLS, printed
    loads = [float(record.environment["other_load"]) for record in first]
    before, beside = loads[:UNDISTURBED], loads[UNDISTURBED + 1 :]
    assert all(disturbance(record) for record in first[UNDISTURBED + 1 :]), loads
    assert median(beside) > median(before), loads
    marked = [record.id for record in first if disturbance(record)]
    assert f"{len(marked)} cells were disturbed by other programs and will not rank" in printed
    assert all(record.environment["busy_allowed"] is True for record in first)

    with run(results) as process:
        process.communicate()
    again = records_of(results)[CELLS:]
    assert [record.id for record in again] == marked
    assert not any("busy_allowed" in record.environment for record in again)


KERNEL, DISTURBED = make_spec(variant="softmax", seq_len=16), {"other_load": 0.97, "steal": 0.0}


@pytest.mark.parametrize(
    ("facts", "busy", "finished"),
    [
        ({"other_load": 0.05, "steal": 0.01}, False, True),
        (DISTURBED, False, False),
        (DISTURBED, True, False),  # another run measured it, which was not told so
        ({**DISTURBED, "busy_allowed": True}, False, False),
        ({**DISTURBED, "busy_allowed": True}, True, True),
        ({}, False, True),  # an older record
    ],
)
def test_a_disturbed_cell_is_due_but_for_who_asked_for_it(results: Path, facts: dict[str, object], busy: bool, finished: bool) -> None:
    cell = resolve(KERNEL)
    record = make_record(cell.spec, fingerprint=cell.fingerprint, environment={"torch": "2", **facts})
    known = Finished({cell.key: record}, Gate(results), Limits(), busy=busy)
    assert (known.record(cell) == record) is finished
    of_session = Finished({cell.key: record}, Gate(results), Limits(), session=record.session)
    assert of_session.record(cell) == record  # nothing is measured twice in one session


def test_a_disturbed_training_has_its_result(results: Path) -> None:
    cell = resolve(dataclasses.replace(make_spec(**TASK), variant="softmax"))
    record = make_record(cell.spec, fingerprint=cell.fingerprint, environment=dict(DISTURBED), measurements={"accuracy": [0.9]})
    assert Finished({cell.key: record}, Gate(results), Limits()).record(cell) == record
