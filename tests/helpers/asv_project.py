"""A project of its own for asv: asv.conf.json and benchmarks/ of this one, a git repository, and a results folder beside them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from attnbench.runner.cell import resolve
from attnbench.store.asv_files import AsvRow, read_asv
from attnbench.store.record import Record
from attnbench.store.store import Store
from helpers.command import LONGEST_S
from helpers.paths import REPO
from helpers.records import know_machine, make_record, make_spec

MACHINE = "test-machine"
KERNEL = r"Kernel\.\w+\('(softmax|softmax_math|polynomial)', 'forward', False, 256,"
DEPTH = r"Depth\.\w+\('softmax', 'residual', 1,"
SAVED = ("--set-commit-hash", "HEAD", "--record-samples")
HERE = ("-E", f"existing:{sys.executable}")  # the environment of the tests


@dataclass(frozen=True)
class Project:
    """Made by make_project."""

    folder: Path

    @property
    def store(self) -> Store:
        return Store(self.folder / "results")

    @property
    def asv_results(self) -> Path:
        return self.folder / "results" / "asv"

    def asv(self, *arguments: str, code: int = 0, **variables: str) -> str:
        """`asv ARGUMENTS` in the project, which must end with this code; what it prints."""
        given = {**os.environ, "HOME": str(self.folder), "ATTNBENCH_MACHINE": MACHINE, "ATTNBENCH_PRESET": "quick", **variables}
        command = [sys.executable, "-m", "asv", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder, env=given, timeout=LONGEST_S)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def run(self, bench: str, *arguments: str, code: int = 0, **variables: str) -> str:
        """`asv run` in this very environment; 2 is asv's code for a benchmark that failed."""
        return self.asv("run", *HERE, "--machine", MACHINE, "--bench", bench, *arguments, code=code, **variables)

    def commit(self) -> str:
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
        self.git(*identity, "commit", "--allow-empty", "-qm", "another")
        return self.git("rev-parse", "HEAD").strip()

    def git(self, *arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=self.folder, check=True, capture_output=True, text=True).stdout


def make_project(folder: Path) -> Project:
    """A project with one commit, on a machine that asv and its results know."""
    shutil.copytree(REPO / "benchmarks", folder / "benchmarks", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPO / "asv.conf.json", folder)
    project = Project(folder)
    project.git("init", "-q", "-b", "main")
    project.git("add", "-A")
    project.commit()
    know_machine(folder / "results", MACHINE)
    project.asv("machine", "--yes", "--machine", MACHINE)
    return project


def stated(variant: str, **fields: object) -> Record:
    """A record of a cell at 256 as if an earlier session had measured it."""
    cell = resolve(make_spec(variant=variant, seq_len=256))
    given = {"fingerprint": cell.fingerprint, "machine": MACHINE, "measurements": {}, "started_at": "2020-01-01T00:00:00Z", **fields}
    return make_record(cell.spec, **given)


def measured_project(folder: Path) -> Project:
    """asv's run of two cells, of one that ran out of memory before, and of one that is skipped; softmax was unavailable before."""
    project = make_project(folder)
    project.store.append(stated("softmax", status="unavailable", stage="build", reason="it was not here"))
    project.store.append(stated("polynomial", status="oom", stage="time", reason="too large", environment={"memory_share": 0.75}))
    project.store.append(stated("softmax_math", status="skipped", stage="build", reason="there is no such form"))
    project.run(f"{KERNEL}|{DEPTH}", *SAVED, code=2)
    return project


def rows(project: Project, benchmark: str, variant: str) -> list[AsvRow]:
    """A benchmark's rows that hold something, in the order of commits."""
    found = [row for row in read_asv(project.asv_results) if row.benchmark == benchmark and row.params[0] == variant]
    return sorted((row for row in found if row.value is not None), key=lambda row: str(row.started_at))
