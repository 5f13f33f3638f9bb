"""A run that is stopped, gently or not, leaves nothing running, keeps what it measured, and goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from attnbench.store.record import Record
from attnbench.store.store import Problem, Store
from helpers.command import cli
from helpers.factory import know_machine
from helpers.misbehaving import wait_for

pytestmark = pytest.mark.alone

MARK = "ATTNBENCH_TEST_RUN"  # every process of a run inherits it, whoever forked it and whatever its session is
CELLS = 8
PHASES = ["starting"] * 5 + ["first cell"] * 3 + ["later cell"] * 2  # of a run, in which it is killed


@contextmanager
def running(results: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`attnbench run` of eight small cells in a session of its own, and the mark that all of its processes bear."""
    mark = uuid4().hex
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "attnbench", *arguments(results)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, MARK: mark, "TMPDIR": str(results.parent), "COLUMNS": "160"},
    ) as process:
        try:
            yield process, mark
        finally:
            process.kill()


def arguments(results: Path) -> list[str]:
    return ["run", "--track", "depth", "--variant", "softmax", "--results", str(results)]


def marked(mark: str) -> list[psutil.Process]:
    """The processes of a run that are alive."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # gone meanwhile, or another user's
            continue
    return found


def stored(results: Path) -> list[Record]:
    """The records, each cell's once; no line is torn but perhaps the last of a file."""
    problems: list[Problem] = []
    records = list(Store(results).read(problems)) if results.is_dir() else []
    for problem in problems:
        assert problem.line == len(problem.file.read_bytes().splitlines()), problem
    assert len({record.id for record in records}) == len(records)
    return records


def wait_for_a_moment(phase: str, delay: float, process: subprocess.Popen[str], results: Path) -> None:
    """Wait until a run is in a phase, and a share of that phase longer."""
    if phase == "starting":
        time.sleep(3 * delay)
    elif phase == "first cell":
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("["))
        time.sleep(1.5 * delay)
    else:
        before = len(stored(results))
        wait_for(lambda: len(stored(results)) > before)
        time.sleep(1.5 * delay)


@pytest.mark.slow
def test_kill_9_at_ten_random_moments_leaves_nothing_running_and_loses_no_finished_cell(results: Path) -> None:
    know_machine(results)
    draw = random.Random(4)
    phases = draw.sample(PHASES, len(PHASES))
    kept: list[Record] = []
    for phase in phases:
        with running(results) as (process, mark):
            wait_for_a_moment(phase, draw.random(), process, results)
            process.kill()
            process.wait()
            wait_for(lambda mark=mark: not marked(mark), seconds=20.0)  # a fork server notices when it has imported torch
        now = stored(results)
        assert all(record in now for record in kept)
        kept = now
    assert len(kept) >= PHASES.count("later cell")
    resumed = cli(*arguments(results))
    assert resumed.returncode == 0, resumed.stderr
    records = stored(results)
    assert len(records) == CELLS
    assert all(record in records for record in kept)
    assert {record.status for record in records} == {"ok"}


@pytest.mark.slow
@pytest.mark.parametrize("finished", [0, 1])
def test_ctrl_c_ends_cleanly_and_keeps_what_is_finished(results: Path, finished: int) -> None:
    """As a terminal sends it, to every process of the run; while the fork server still starts, and in a cell."""
    know_machine(results)
    with running(results) as (process, mark):
        if finished:
            wait_for(lambda: (results / "records").is_dir() and stored(results))
        else:
            wait_for(lambda: any("forkserver" in " ".join(one.cmdline()) for one in marked(mark)))
        os.killpg(process.pid, signal.SIGINT)
        printed, complained = process.communicate(timeout=60)
        assert process.returncode == 130
        wait_for(lambda: not marked(mark), seconds=5.0)
    records = stored(results)
    assert len(records) == finished
    assert f"Stopped. {finished} cells are stored; the same command goes on with the other {CELLS - finished}." in printed
    assert complained == ""
