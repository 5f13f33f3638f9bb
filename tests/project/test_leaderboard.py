"""`make leaderboard` measures through asv in a git clone, and without asv where there is none; nothing is measured here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from attnbench.store.commit import commit, why_no_commit, why_no_git
from helpers.paths import REPO

# Programs that say what they were called with, in place of those that `make` finds in its environment.
ECHO = '#!/bin/sh\necho $(basename $0) "$@" >> {log}\nexit {code}\n'


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """What `make leaderboard` reads of the repository, as a ZIP of it unpacks: without .git."""
    folder = tmp_path / "attnbench main"
    (folder / "tools").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "tools/asv_can_run.py"):
        shutil.copy(REPO / name, folder / name)
    return folder


def make(folder: Path, asv_code: int = 0, run_code: int = 0) -> tuple[list[str], str, int]:
    """The calls of asv and attnbench that `make leaderboard` makes, what it prints, and its exit code."""
    programs, log = folder / "environment" / "bin", folder / "log"
    programs.mkdir(parents=True)
    for name, code in (("asv", asv_code), ("attnbench", run_code)):
        (programs / name).write_text(ECHO.format(log="log", code=code if name == "asv" else f"$(test $1 = run && echo {code} || echo 0)"))
    (programs / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    (folder / "environment" / ".ready").touch()
    done = subprocess.run(["make", "leaderboard", "VENV=environment"], cwd=folder, capture_output=True, text=True, check=False)
    return log.read_text().splitlines(), done.stdout + done.stderr, done.returncode


def test_a_clone_is_measured_through_asv(unpacked: Path) -> None:
    git(unpacked, "init", "-q")
    git(unpacked, "commit", "--allow-empty", "-qm", "one")
    calls, _, code = make(unpacked, asv_code=2)
    assert code != 0  # 2 is a result of `asv run` alone
    calls, said, code = make_again(unpacked)
    assert code == 0, said
    measured = [call for call in calls if call.startswith(("asv", "attnbench run"))]
    assert [call.split()[1] for call in measured] == ["machine", "run", "publish"]
    assert "--set-commit-hash HEAD" in measured[1]
    assert [call.split()[1] for call in calls if call.split()[:2] in (["attnbench", "show"], ["attnbench", "site"])] == ["show", "site"]


def make_again(folder: Path) -> tuple[list[str], str, int]:
    shutil.rmtree(folder / "environment")
    (folder / "log").unlink()
    return make(folder)


@pytest.mark.parametrize("run_code", [0, 1])
def test_a_zip_is_measured_without_asv_and_one_line_says_why(run_code: int, unpacked: Path) -> None:
    """1 of `attnbench run` is a cell that failed, which the page shows."""
    calls, said, code = make(unpacked, run_code=run_code)
    assert code == 0, said
    assert [call for call in calls if call.startswith("asv")] == []
    assert "attnbench run" in calls
    assert [call.split()[1] for call in calls if call.split()[1] in ("show", "site")] == ["show", "site"]
    (line,) = [line for line in said.splitlines() if "asv" in line]
    assert line.startswith("asv measures commits of a git clone, and this is no git clone") and "git clone. `attnbench run`" in line


def test_bad_usage_of_run_ends_it(unpacked: Path) -> None:
    calls, _, code = make(unpacked, run_code=2)
    assert code != 0 and not any("show" in call for call in calls)


def test_a_zip_inside_another_repository_is_no_clone(unpacked: Path) -> None:
    git(unpacked.parent, "init", "-q")
    git(unpacked.parent, "commit", "--allow-empty", "-qm", "one")
    assert "no git clone" in (why_no_git(unpacked) or "")


def test_clones_worktrees_and_detached_heads_have_a_commit(tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    git(first, "init", "-q")
    assert "does not know the commit" in (why_no_git(first) or "")  # nothing is committed yet
    for message in ("one", "two"):
        git(first, "commit", "--allow-empty", "-qm", message)
    git(first, "worktree", "add", "-q", "../second")
    git(tmp_path, "clone", "-q", "--depth", "1", first.as_uri(), "third")
    git(tmp_path / "third", "checkout", "-q", "--detach")
    assert [why_no_git(tmp_path / name) for name in ("first", "second", "third")] == [None, None, None]
    shutil.rmtree(first)
    assert "does not know the commit" in (why_no_git(tmp_path / "second") or "")  # a worktree without its repository


def test_git_that_is_not_there_or_refuses_the_owner_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a clone"
    folder.mkdir()
    git(folder, "init", "-q")
    git(folder, "commit", "--allow-empty", "-qm", "one")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        assert "git is not installed" in (why_no_git(folder) or "")
    with monkeypatch.context() as patch:
        patch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
        patch.setenv("LC_ALL", "de_DE.UTF-8")
        said = why_no_git(folder) or ""
    assert said.startswith("git refuses this folder") and f"git config --global --add safe.directory '{folder}'" in said
    with monkeypatch.context() as patch:
        patch.setenv("GIT_DIR", str(tmp_path / "another" / ".git"))  # as git sets it for its hooks
        assert why_no_git(folder) is None


CUDA_CELL = '{"track":"kernel","variant":"softmax","seq_len":16,"device":"cuda"}'


@pytest.mark.long
@pytest.mark.parametrize("command", [("doctor", "--results", "none"), ("run", "--cell", CUDA_CELL)], ids=["doctor", "run"])
def test_an_unknown_commit_is_told_once_and_recorded_as_unknown(command: tuple[str, ...], tmp_path: Path) -> None:
    """A copy of the package without its repository, on the path before this one."""
    shutil.copytree(REPO / "suite", tmp_path / "code" / "suite", ignore=shutil.ignore_patterns("__pycache__"))
    given = {**os.environ, "PYTHONPATH": str(tmp_path / "code" / "suite"), "CUDA_VISIBLE_DEVICES": ""}
    command = (sys.executable, "-m", "attnbench", *command)
    done = subprocess.run(command, cwd=tmp_path, env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("this is no git clone") == 1, done.stderr
    assert "records will name no commit" in done.stderr


def test_the_commit_of_this_code_is_known_or_said_to_be_unknown() -> None:
    assert (commit()["commit"] is None) == (why_no_commit() is not None)
