"""The run waits for a quiet machine, not for ever, and says why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from attnbench.runner.load import Load
from attnbench.runner.quiet import LONGEST_S, Quiet, patience_of
from helpers.busy_process import busy_process
from helpers.misbehaving import PATIENCE_S

CALM, BUSY = Load(0.05, 0.01, 0), Load(0.97, 0.0, 0)


def waited(patience_s: float, *loads: Load | None) -> list[str]:
    """What is said while waiting, where the looks give this; all of them are taken."""
    said: list[str] = []
    left = iter(loads)
    Quiet(patience_s, said.append, lambda seconds: next(left)).wait()
    assert next(left, "none") == "none"
    return said


@pytest.mark.parametrize("load", [CALM, None])
def test_a_quiet_machine_is_looked_at_once_and_silently(load: Load | None) -> None:
    assert waited(60.0, load) == []


def test_it_waits_says_why_and_goes_on() -> None:
    first, last = waited(60.0, BUSY, BUSY, CALM)
    assert first.startswith("Waiting for a quiet machine: other processes used 0.97 of a core; 0.1 is allowed (--busy")
    assert last == "The machine is quiet: the run goes on."


def test_steal_counts_as_load() -> None:
    assert "stolen by the hypervisor" in waited(60.0, Load(0.05, 0.06, 0), CALM)[0]


def test_patience_ends_and_is_of_the_whole_run() -> None:
    said: list[str] = []
    looks = iter([BUSY] * 4)
    quiet = Quiet(7.0, said.append, lambda seconds: next(looks))
    quiet.wait()
    assert said[-1].startswith("Still, other processes used 0.97 of a core: the run goes on")
    quiet.look_again()
    quiet.wait()  # takes no look
    assert next(looks, None) is None and len(said) == 2


def test_it_looks_again_only_after_a_disturbed_cell() -> None:
    looks = iter([CALM, CALM])
    quiet = Quiet(60.0, look=lambda seconds: next(looks))
    quiet.wait()
    quiet.wait()
    quiet.look_again()
    quiet.wait()
    assert next(looks, None) is None


def test_nobody_looks_without_patience() -> None:
    assert waited(0.0) == [] == waited(patience_of(1.0))
    assert patience_of(1e9) == LONGEST_S


ENDLESS = """
from attnbench.cli import main
from attnbench.runner import quiet
quiet.SHARE = quiet.LONGEST_S = 1e6
main()
"""
CELL = '{"track":"kernel","variant":"softmax","mode":"forward","seq_len":32,"num_heads":2,"head_dim":8}'


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="the system does not say what others use")
def test_ctrl_c_ends_a_wait(results: Path) -> None:
    command = [sys.executable, "-u", "-c", ENDLESS, "run", "--results", str(results), "--cell", CELL]
    with busy_process(), subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("Waiting for a quiet machine"))
        os.kill(process.pid, signal.SIGINT)
        printed, complained = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130 and complained == ""
    assert "Stopped. 0 cells are stored" in printed
    assert not list(results.rglob("*.jsonl"))
