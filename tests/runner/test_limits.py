"""Limits that were set before are kept where they are lower than ours, in a cell's process and in a shell's."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path

import pytest

from attnbench.measurement.cell_result import Stage
from attnbench.runner.jobs import Limits
from attnbench.runner.limits import LARGEST_FILE_BYTES, limit_file_size, limit_memory, memory_budget_bytes
from attnbench.runner.parent import run_in_child
from attnbench.store import hardware
from helpers.command import cli
from helpers.misbehaving import Errand
from helpers.records import know_machine, make_spec

GIB = 2**30
UNLIMITED = resource.RLIM_INFINITY


@dataclass(frozen=True)
class Limited(Errand):
    """What the limits of a process are after ours, over soft and hard ones that were there before."""

    name: str = "RLIMIT_FSIZE"
    soft: int = UNLIMITED
    hard: int = UNLIMITED

    def work(self, stage: Stage) -> tuple[int, int]:
        kind = getattr(resource, self.name)
        if self.hard != UNLIMITED:  # this process has set its own already, which only falls
            resource.setrlimit(kind, (self.soft, self.hard))
        limit_file_size() if self.name == "RLIMIT_FSIZE" else limit_memory(64 * GIB)
        return resource.getrlimit(kind)


@pytest.mark.parametrize(("soft", "hard"), [(1000, 1000), (10, 5000)])
@pytest.mark.parametrize("name", ["RLIMIT_FSIZE", "RLIMIT_AS"])
def test_a_lower_hard_limit_is_kept(name: str, soft: int, hard: int) -> None:
    factor = GIB * 2 // 1000 if name == "RLIMIT_AS" else 1
    result = run_in_child(Limited(name=name, soft=soft * factor, hard=hard * factor), "forkserver")
    assert (result.status, result.reason) == ("ok", None)
    assert result.value == (hard * factor, hard * factor)


def test_ours_is_set_where_there_is_none() -> None:
    assert run_in_child(Limited(), "forkserver").value == (LARGEST_FILE_BYTES, LARGEST_FILE_BYTES)


def test_the_budget_is_a_share_of_what_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "memory_bytes", lambda: 4 * GIB)
    assert memory_budget_bytes(Limits(memory_share=0.5)) == 2 * GIB
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (GIB, GIB))
    assert memory_budget_bytes(Limits(memory_share=0.5)) == GIB
    monkeypatch.setattr(hardware, "memory_bytes", lambda: None)
    assert memory_budget_bytes(Limits()) == GIB


def test_no_limit_where_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    monkeypatch.setattr(hardware, "memory_bytes", lambda: None)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (UNLIMITED, UNLIMITED))
    budget = memory_budget_bytes(Limits())
    limit_memory(budget)
    monkeypatch.undo()
    assert budget is None and resource.getrlimit(resource.RLIMIT_AS) == before


@pytest.mark.parametrize("limit", ["-v 6000000", "-f 2000"])
@pytest.mark.long
def test_a_cell_runs_in_a_shell_with_limits(limit: str, results: Path) -> None:
    """As under SLURM, or in a shell of a shared computer."""
    know_machine(results)
    spec = make_spec(seq_len=16).compact()
    done = cli("run", "--cell", spec, "--results", str(results), before=f"ulimit {limit}")
    assert done.returncode == 0 and "1 ok" in done.stdout, done.stdout + done.stderr
