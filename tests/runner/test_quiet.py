"""The run waits for a quiet machine, not for ever, and says why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from attnbench.runner.load import Load
from attnbench.runner.lock import measurement_lock
from attnbench.runner.quiet import IN_ALL_S, LONGEST_S, NEXT_LOOK_S, PAUSE_S, SHORTEST_S, Quiet, patience_of
from helpers.busy_process import busy_process
from helpers.misbehaving import PATIENCE_S

CALM, BUSY = Load(0.05, 0.01, 0), Load(0.97, 0.0, 0)


class Machine:
    """A machine that is looked at: it gives these loads in turn, and counts the seconds that looks and pauses take."""

    def __init__(self, *loads: Load | None) -> None:
        self.loads, self.said, self.spent_s = list(loads), list[str](), 0.0

    def quiet(self, patience_s: float) -> Quiet:
        return Quiet(patience_s, self.said.append, self.look, self.pause)

    def look(self, seconds: float) -> Load | None:
        self.spent_s += seconds
        return self.loads.pop(0)

    def pause(self, seconds: float) -> None:
        self.spent_s += seconds


def waited(patience_s: float, *loads: Load | None) -> list[str]:
    """What is said while waiting, where the looks give this; all of them are taken."""
    machine = Machine(*loads)
    machine.quiet(patience_s).wait()
    assert machine.loads == []
    return machine.said


@pytest.mark.parametrize("load", [CALM, None])
def test_a_quiet_machine_is_looked_at_once_and_silently(load: Load | None) -> None:
    assert waited(60.0, load) == []


def test_it_waits_says_why_and_goes_on() -> None:
    first, last = waited(60.0, BUSY, BUSY, CALM)
    assert first.startswith("Waiting for a quiet machine: other processes used 0.97 of a core; 0.1 is allowed (--busy")
    assert last == "The machine is quiet: the run goes on."


def test_steal_counts_as_load() -> None:
    assert "stolen by the hypervisor" in waited(60.0, Load(0.05, 0.06, 0), CALM)[0]


def test_where_patience_has_ended_nobody_waits_again_until_the_machine_was_quiet() -> None:
    machine = Machine(*[BUSY] * 1000)
    quiet = machine.quiet(60.0)
    quiet.wait()
    assert machine.said[-1].startswith("Still, other processes used 0.97 of a core: the run goes on")
    assert 60.0 - NEXT_LOOK_S - PAUSE_S < machine.spent_s <= 60.0
    machine.loads = [BUSY, CALM, BUSY, CALM]
    for _ in range(3):
        quiet.look_again()
        quiet.wait()
    assert [said.split()[0] for said in machine.said] == ["Waiting", "Still,", "Waiting", "The"] and machine.loads == []


def test_a_run_waits_an_hour_in_all_at_most() -> None:
    """On a machine that is busy again after each quiet look."""
    machine = Machine(*[*[BUSY] * 50, CALM] * 1000)
    quiet = machine.quiet(LONGEST_S)
    for _ in range(1000):
        quiet.look_again()
        quiet.wait()
    assert IN_ALL_S / 2 < machine.spent_s <= IN_ALL_S
    assert all(one != other for one, other in pairwise(said.split()[0] for said in machine.said))


@pytest.mark.parametrize("patience_s", [1.0, 3.0])
def test_who_has_no_time_to_look_again_does_not_say_that_it_waits(patience_s: float) -> None:
    assert waited(patience_s, BUSY) == []


def test_another_attnbench_measures_between_looks() -> None:
    free: list[bool] = []

    def pause(seconds: float) -> None:
        with measurement_lock():
            free.append(True)

    loads = iter([BUSY, BUSY, CALM])
    Quiet(60.0, look=lambda seconds: next(loads), pause=pause).wait()
    assert free == [True, True]


def test_it_looks_again_only_after_a_disturbed_cell() -> None:
    machine = Machine(CALM, CALM)
    quiet = machine.quiet(60.0)
    quiet.wait()
    quiet.wait()
    quiet.look_again()
    quiet.wait()
    assert machine.loads == []


def test_nobody_looks_without_patience() -> None:
    assert waited(0.0) == []


def test_patience_grows_with_the_run_between_two_bounds() -> None:
    assert [patience_of(seconds) for seconds in (8.0, 1e9)] == [SHORTEST_S, LONGEST_S]
    assert SHORTEST_S < patience_of(2000.0) < LONGEST_S


ENDLESS = """
from attnbench.cli import main
from attnbench.runner import quiet
quiet.SHORTEST_S = quiet.LONGEST_S = quiet.IN_ALL_S = 1e6
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
