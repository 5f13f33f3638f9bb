"""Runs that are killed, every process of which bears a mark, and what they leave."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from uuid import uuid4

import psutil

from attnbench.store.record import Record
from attnbench.store.store import Problem, Store
from helpers.misbehaving import wait_for

MARK = "ATTNBENCH_TEST_RUN"  # every process of a run inherits it, whoever forked it and whatever its session is
CELLS = 8
PROGRAM = """
from attnbench.cli import main
from attnbench.spec.grids import Grid, TaskGrid
from attnbench.spec.presets import _KERNEL, PRESETS, Preset
{grid}
PRESETS["quick"] = Preset("eight cells", (grid,))
main()
"""
TINY = 'grid = Grid("kernel", ("softmax",), {"mode": ("forward", "training"), "seq_len": (16, 32, 64, 128)}, _KERNEL)'
TRAININGS = """
small = {"block": "residual", "num_layers": 1, "num_heads": 2, "head_dim": 8, "batch_size": 64, "epochs": 20, "lr": 3e-3}
grid = TaskGrid(("digits",), ("softmax",), seeds=8, processes=0, fixed=small)
"""

Phase = Literal["starting", "first cell", "later cell"]


@contextmanager
def running(results: Path, *arguments: str, grid: str = TINY) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`attnbench run`, whose preset is eight tiny cells, in a session of its own, and the mark that all of its processes bear."""
    mark = uuid4().hex
    with subprocess.Popen(
        [sys.executable, "-u", "-c", PROGRAM.replace("{grid}", grid), "run", "--busy", "--results", str(results), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, MARK: mark, "COLUMNS": "160"},
    ) as process:
        try:
            yield process, mark
        finally:
            process.kill()


def marked(mark: str) -> list[str]:
    """The commands of a run's processes that are alive: no process is handed out, since it may end before it is asked."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
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


def kill_and_resume(results: Path, phases: Sequence[Phase], draw: random.Random) -> None:
    """Kill -9 a run once in each phase, at a moment of chance. Nothing runs on, and no finished cell is lost; the last run finishes all."""
    kept: list[Record] = []
    for phase in phases:
        with running(results) as (process, mark):
            _wait_for_a_moment(phase, draw.random(), process, results)
            process.kill()
            process.wait()
            wait_for(lambda mark=mark: not marked(mark))  # a fork server notices when it has imported torch
        now = stored(results)
        assert all(record in now for record in kept)
        kept = now
    assert len(kept) >= phases.count("later cell")
    with running(results) as (resumed, _):
        assert resumed.wait() == 0, resumed.communicate()
    records = stored(results)
    assert len(records) == CELLS
    assert all(record in records for record in kept)
    assert {record.status for record in records} == {"ok"}


def _wait_for_a_moment(phase: Phase, share: float, process: subprocess.Popen[str], results: Path) -> None:
    """Wait until a run is in a phase, and a share of that phase longer."""
    if phase == "starting":
        time.sleep(3 * share)
    elif phase == "first cell":
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("["))
        time.sleep(1.5 * share)
    else:
        before = len(stored(results))
        wait_for(lambda: len(stored(results)) > before)
        time.sleep(1.5 * share)
