"""The commit of the installed code: from git beside an editable install, else from the wheel; and why it is not known."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from functools import cache
from pathlib import Path
from typing import NamedTuple

from attnbench.store.probe import fact, result_of

_PACKAGE = Path(__file__).parents[1]
_BUILT_FROM = _PACKAGE / "_built_from.json"  # written into a wheel by hatch_build.py
_OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR")  # set by git for its hooks: of another repository, perhaps


@cache
def commit() -> dict[str, object]:
    """commit and dirty, for a record: the commit of the installed code, and whether that was changed since; None where not known."""
    said = fact(lambda: dict(json.loads(_BUILT_FROM.read_bytes())))
    if said is not None:
        return said
    root = _PACKAGE.parents[1]
    if why_no_git(root) is not None:
        return {"commit": None, "dirty": None}
    changed = _git(root, "status", "--porcelain", "--untracked-files=all", "--", "suite", "benchmarks")
    return {"commit": _git(root, "rev-parse", "HEAD").text, "dirty": None if changed.text is None else bool(changed.text)}


def why_no_commit() -> str | None:
    """Why the commit of the installed code is not known; None where it is."""
    if commit()["commit"] is not None:
        return None
    if _BUILT_FROM.is_file():
        return "attnbench was installed from a folder whose commit git did not know"
    return why_no_git(_PACKAGE.parents[1]) or "git does not know the commit of this folder"


def why_no_git(root: Path) -> str | None:
    """Why git does not know the commit of a folder, and what to do; None where it does."""
    if not fact(
        (root / ".git").exists
    ):  # a folder, or the file of a worktree or a submodule; a repository around the folder does not count
        return "this is no git clone (a ZIP of the repository, for example): get the code with git clone"
    asked = _git(root, "rev-parse", "HEAD")
    if re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", asked.text or ""):
        return None
    if "dubious ownership" in asked.said:
        return f"git refuses this folder, which belongs to another user: git config --global --add safe.directory {shlex.quote(str(root))}"
    return f"git does not know the commit of this folder: {asked.said or asked.text}"


class _Answer(NamedTuple):
    """What git gave: its output, None if it failed; and what it said instead, in a line."""

    text: str | None
    said: str = ""


def _git(root: Path, *arguments: str) -> _Answer:
    """The answer to a git command, also where git fails, is missing or too slow: a cell is measured even if the commit is unknown."""
    environment = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK} | {"LC_ALL": "C"}
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    succeeded, printed = result_of(command, environment=environment)
    if succeeded:
        return _Answer(printed)
    if shutil.which("git") is None:
        return _Answer(None, "git is not installed")
    if succeeded is None:
        return _Answer(None, "git gives no answer")
    complaint = result_of(command, environment=environment, errors=True)[1]
    return _Answer(None, " ".join(complaint.split())[:300] or "git failed without a word")
