"""The load of a window of time: hand-computed from files of /proc, and seen where a busy process is planted."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from attnbench.runner.load import Load, Snapshot, Usage, Window, between, snapshot
from helpers.busy_process import busy_process
from helpers.misbehaving import run_cell

HERTZ = os.sysconf("SC_CLK_TCK")
SELF = (os.getpid(), 5)
CELL, NEIGHBOUR, SHELL = (2_000_001, 6), (2_000_002, 7), (2_000_003, 8)
needs_proc = pytest.mark.skipif(not Path("/proc/stat").exists(), reason="the system does not say what others use")


def at(second: int, processes: dict[tuple[int, int], Usage], busy: float, stolen: float = 0.0, processors: int = 2) -> Snapshot:
    """A moment at which so many seconds of the processors were used since the start."""
    return Snapshot(float(second), processes, processors, round(busy * HERTZ), round(stolen * HERTZ), switches=3 * second)


def used(seconds: float, parent: int = 1, children: float = 0.0) -> Usage:
    return Usage(parent, round(seconds * HERTZ), round(children * HERTZ))


def state(cell: float, neighbour: float) -> dict[tuple[int, int], Usage]:
    return {SELF: used(1), CELL: used(cell, parent=SELF[0]), NEIGHBOUR: used(neighbour, parent=77)}


def test_what_a_neighbour_used_is_counted_and_what_the_cell_used_is_not() -> None:
    found = between(at(0, state(10, 4), busy=100), at(10, state(22, 9), busy=117, stolen=1))
    assert found == Load(other=0.5, steal=0.1, switches=30)


def test_noise_of_ticks_flags_nothing_and_hides_nothing() -> None:
    """Ticks that differ by a few from what the processes had, either way; the processes are exact."""
    for ticks in (-5, 0, 5):
        found = between(at(0, state(0, 0), busy=0), at(1, state(1, 0.25), busy=1.25 + ticks / HERTZ))
        assert found is not None and found.other == pytest.approx(0.25)


def test_work_in_a_rhythm_that_ticks_do_not_see_hides_no_neighbour() -> None:
    """As of steps of 1 ms on two threads: the cell used 1.45 s, and 1.13 s were counted in all."""
    for neighbour in (0.0, 0.1):
        found = between(at(0, state(0, 0), busy=0), at(2, state(1.45, neighbour), busy=1.13))
        assert found is not None and found.other == pytest.approx(neighbour / 2)


def test_a_hidden_neighbour_is_seen_in_the_ticks() -> None:
    """Of another container: /proc has no process of it."""
    found = between(at(0, state(0, 0), busy=0), at(10, state(10, 0), busy=20))
    assert found is not None and found.other == pytest.approx(1.0, abs=0.05)


def test_a_neighbour_on_a_processor_that_the_cell_may_not_use_does_not_count() -> None:
    found = between(at(0, state(0, 0), busy=0, processors=1), at(10, state(9, 10), busy=9, processors=1))
    assert found is not None and found.other < 0.1


def test_processes_that_start_and_end_meanwhile_are_counted_for_what_they_used_meanwhile() -> None:
    """A compiler that had computed for a minute before, and another that was never seen, both children of a shell."""
    before = {**state(0, 60), SHELL: used(0, parent=1)}
    before[NEIGHBOUR] = dataclasses.replace(before[NEIGHBOUR], parent=SHELL[0])
    after = {SELF: used(1), CELL: used(10, parent=SELF[0]), SHELL: used(0, parent=1, children=62 + 3), (4_000_000, 9): used(1, parent=1)}
    found = between(at(0, before, busy=0), at(10, after, busy=16))
    assert found is not None and found.other == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, at(1, state(0, 0), busy=1)),
        (at(0, state(0, 0), busy=1), None),
        (at(1, state(0, 0), busy=1), at(1, state(0, 0), busy=1)),
        (at(0, state(0, 0), busy=0), at(10, state(10, 0), busy=0)),  # a sandbox whose ticks stand still
    ],
)
def test_what_cannot_be_known_is_not_judged(before: Snapshot | None, after: Snapshot | None) -> None:
    assert between(before, after) is None


STAT = """cpu  9 9 9 9 9 9 9 9 0 0
cpu{0} 100 20 30 999 999 4 5 6 7 7
cpu{1} 1000 1000 1000 1000 1000 1000 1000 1000 0 0
intr 5
"""
PROCESS = "{pid} (a ) b\udcff) S {parent} 1 1 0 -1 0 0 0 0 0 {user} {system} 3 4 20 0 1 0 {started} 0\n"


def test_the_files_of_proc_are_read(tmp_path: Path) -> None:
    """With a name that looks like fields, and a processor that this process may not use."""
    mine, foreign = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0)) + 1
    (tmp_path / "stat").write_text(STAT.format(mine, foreign))
    for pid, parent in ((os.getpid(), 1), (CELL[0], os.getpid()), (NEIGHBOUR[0], 1)):
        (tmp_path / str(pid) / "task" / "1").mkdir(parents=True)
        text = PROCESS.format(pid=pid, parent=parent, user=11, system=22, started=33)
        (tmp_path / str(pid) / "stat").write_bytes(text.encode("utf-8", "surrogateescape"))
        (tmp_path / str(pid) / "task" / "1" / "status").write_text("voluntary_ctxt_switches:\t9\nnonvoluntary_ctxt_switches:\t41\n")
    found = snapshot(tmp_path)
    assert found is not None
    assert (found.processors, found.busy, found.stolen) == (1, 100 + 20 + 30 + 4 + 5, 6)
    assert found.processes[CELL[0], 33] == Usage(parent=os.getpid(), own=33, children=7)
    assert found.own == {(os.getpid(), 33), (CELL[0], 33)}
    assert found.switches == 41  # of the cell alone


def test_without_proc_nothing_is_known(tmp_path: Path) -> None:
    assert snapshot(tmp_path) is None


LOOK = "from attnbench.runner.load import look; print(look({seconds}).other)"


@needs_proc
@pytest.mark.alone
def test_a_busy_process_is_seen_as_much_as_it_got() -> None:
    """However much that is: the machine may be busy otherwise."""
    seconds = 2.0
    with busy_process() as neighbour:
        began, had = time.monotonic(), neighbour.used_s()
        said = subprocess.run([sys.executable, "-c", LOOK.format(seconds=seconds)], capture_output=True, text=True, check=True).stdout
        got = (neighbour.used_s() - had) / (time.monotonic() - began)  # a processor's share, over a little longer
    assert float(said) > 0.7 * got - 0.05


@needs_proc
def test_the_window_is_the_stages_that_are_timed(tmp_path: Path) -> None:
    window = Window()
    result = run_cell(tmp_path, "pass", watch=window.watch)
    assert result.status == "ok"
    assert window.facts().keys() == {"other_load", "steal", "involuntary_switches"}


def test_a_window_that_was_never_opened_has_no_facts() -> None:
    window = Window()
    for stage in ("build", "warm up", "verify"):
        window.watch(stage)
    assert window.facts() == {}
