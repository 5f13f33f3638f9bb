"""A run that is stopped, gently or not, leaves nothing running, keeps what it measured, and goes on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from helpers.killed_runs import CELLS, marked, running, stored
from helpers.misbehaving import PATIENCE_S, wait_for


@pytest.mark.parametrize("finished", [pytest.param(0, marks=pytest.mark.long), 1])
def test_ctrl_c_ends_cleanly_and_keeps_what_is_finished(results: Path, finished: int) -> None:
    """As a terminal sends it, to every process of the run; while the fork server still starts, and in a cell."""
    with running(results) as (process, mark):
        if finished:
            assert process.stdout is not None
            next(line for line in process.stdout if line.startswith(f"[{finished + 1}/{CELLS}]"))
        else:
            wait_for(lambda: any("forkserver" in command for command in marked(mark)))
        os.killpg(process.pid, signal.SIGINT)
        printed, complained = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 130
        wait_for(lambda: not marked(mark))
    records = stored(results)
    assert len(records) == finished
    assert f"Stopped. {finished} cells are stored; the same command goes on with the other {CELLS - finished}." in printed
    assert complained == ""
