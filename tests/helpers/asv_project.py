"""A project of its own for asv: asv.conf.json and benchmarks/ of this one, a git repository, and a results folder beside them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from attnbench.store.store import Store
from helpers.factory import know_machine
from helpers.paths import REPO

MACHINE = "test-machine"
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
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder, env=given, timeout=300)
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
