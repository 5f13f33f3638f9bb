"""A run that is stopped, gently or not, keeps what it measured and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from attnbench.store import Store
from command import cli


@pytest.mark.slow
def test_kill_9_half_way_keeps_every_finished_cell_and_resumes(results: Path) -> None:
    arguments = ("run", "--track", "kernel", "--variant", "orthogonal", "--results", str(results))
    with subprocess.Popen([sys.executable, "-m", "attnbench", *arguments], stdout=subprocess.DEVNULL) as running:
        deadline = time.monotonic() + 120
        while not results.is_dir() or len(list(Store(results).read())) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(running.pid, signal.SIGKILL)
    kept = list(Store(results).read())
    assert 3 <= len(kept) < 10
    resumed = cli(*arguments)
    assert f"{len(kept)} of 10 cells are finished already; {10 - len(kept)} to run." in resumed.stdout
    records = list(Store(results).read())
    assert records[: len(kept)] == kept or {r.id for r in kept} < {r.id for r in records}
    assert len({r.id for r in records}) == len(records) == 10
    assert "Nothing to do" in cli(*arguments).stdout


@pytest.mark.slow
def test_ctrl_c_ends_cleanly(results: Path) -> None:
    arguments = ("run", "--track", "kernel", "--variant", "softmax_math", "--results", str(results))
    with subprocess.Popen([sys.executable, "-m", "attnbench", *arguments], stdout=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + 120
        while not results.is_dir() or not list(Store(results).read()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        printed = running.communicate(timeout=60)[0]
    assert running.returncode == 130
    assert "the same command goes on with the other" in printed
