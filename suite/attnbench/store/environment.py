"""Facts about the machine that measures: hardware, versions, threads, and the commit of the code. No path, user or host name."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shlex
import subprocess
import uuid
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import psutil

from attnbench.errors import BadInput
from attnbench.store import hardware

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # names of machines and sessions, which become names of files

_PACKAGE = Path(__file__).parents[1]


def physical_cores() -> int:
    """The number of physical cores that this process may use, limited by its CPU affinity."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(psutil.cpu_count(logical=False) or allowed, allowed)


@cache
def commit() -> dict[str, object]:
    """Commit of the installed code and whether it was dirty: from git beside an editable install, else from the wheel."""
    built = _PACKAGE / "_built_from.json"
    if built.is_file():
        return dict(json.loads(built.read_text(encoding="utf-8")))
    root = _PACKAGE.parents[1]
    if why_no_git(root) is not None:
        return {"commit": None, "dirty": None}
    changed = _git(root, "status", "--porcelain", "--untracked-files=all", "--", "suite", "benchmarks")
    return {"commit": _git(root, "rev-parse", "HEAD").text, "dirty": None if changed.text is None else bool(changed.text)}


def why_no_commit() -> str | None:
    """Why the commit of the installed code is not known; None where it is."""
    if commit()["commit"] is not None:
        return None
    if (_PACKAGE / "_built_from.json").is_file():
        return "attnbench was installed from a folder whose commit git did not know"
    return why_no_git(_PACKAGE.parents[1]) or "git does not know the commit of this folder"


def why_no_git(root: Path) -> str | None:
    """Why git does not know the commit of a folder, and what to do; None where it does."""
    if not (root / ".git").exists():  # a folder, or the file of a worktree or a submodule; a repository around the folder does not count
        return "this is no git clone (a ZIP of the repository, for example): get the code with git clone"
    asked = _git(root, "rev-parse", "HEAD")
    if asked.text is not None:
        return None
    if "dubious ownership" in asked.said:
        return f"git refuses this folder, which belongs to another user: git config --global --add safe.directory {shlex.quote(str(root))}"
    return f"git does not know the commit of this folder: {asked.said}"


_OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR")  # set by git for its hooks: of another repository, perhaps


class _Answer(NamedTuple):
    """What git gave: its output, None if it failed; and what it said instead, in a line."""

    text: str | None
    said: str = ""


def _git(root: Path, *arguments: str) -> _Answer:
    """The answer to a git command, also where git fails, is missing or too slow: a cell is measured even if the commit is unknown."""
    environment = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK} | {"LC_ALL": "C"}
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", env=environment, check=False, timeout=30)
    except FileNotFoundError:
        return _Answer(None, "git is not installed")
    except (OSError, subprocess.TimeoutExpired) as error:
        return _Answer(None, f"git cannot be run ({type(error).__name__})")
    if done.returncode == 0:
        return _Answer(done.stdout.strip())
    return _Answer(None, " ".join(done.stderr.split())[:300] or f"git ended with exit code {done.returncode}")


def version_of(package: str) -> str | None:
    """The installed version of a package, without importing it; None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def torch_cuda(version_file: Path | None = None) -> dict[str, str]:
    """cuda_version and cudnn_version of the installed torch build, without importing it; empty for a build without CUDA.

    version_file: torch/version.py; searched for if not given. The version of cuDNN is that of the package that a CUDA build depends on.
    """
    if version_file is None:
        spec = find_spec("torch")
        if spec is None or spec.origin is None:
            return {}
        version_file = Path(spec.origin).parent / "version.py"
    text = version_file.read_text(encoding="utf-8") if version_file.is_file() else ""
    built_for = re.search(r"""^cuda\b.*=\s*["']([\d.]+)["']""", text, re.M)
    if built_for is None:
        return {}
    cudnn = version_of(f"nvidia-cudnn-cu{built_for[1].partition('.')[0]}")
    return {"cuda_version": built_for[1], **({"cudnn_version": cudnn} if cudnn else {})}


@cache
def describe() -> dict[str, object]:
    """The facts about machine and software that may influence a measurement, by name."""
    memory = psutil.virtual_memory()
    return {
        "cpu": hardware.cpu_model(),
        "cores": psutil.cpu_count(logical=False),
        "logical_cores": psutil.cpu_count(),
        "threads": physical_cores(),
        "caches_bytes": hardware.caches_bytes(),
        **hardware.clock(),
        "memory_bytes": memory.total,
        "gpus": hardware.gpus(),
        "os": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "libc": " ".join(platform.libc_ver()).strip() or None,
        "python": platform.python_version(),
        "torch": version_of("torch"),
        **torch_cuda(),
        "triton": version_of("triton"),
        "attnbench": version_of("attnbench"),
        **commit(),
    }


@cache
def machine_name() -> str:
    """The owner's name for this machine (ATTNBENCH_MACHINE), else a hash from which nobody can identify it.

    It only labels results. Raises BadInput when the owner's name cannot name a folder.
    """
    given = os.environ.get("ATTNBENCH_MACHINE")
    if given:
        if not SAFE_NAME.fullmatch(given):
            raise BadInput(f"ATTNBENCH_MACHINE is {given!r}; use letters, digits, '.', '_' and '-', 100 at most")
        return given
    identity = Path("/etc/machine-id")
    unique = identity.read_text().strip() if identity.is_file() else str(uuid.getnode())
    parts = [unique, hardware.cpu_model(), str(psutil.cpu_count()), *(gpu.get("name", "") for gpu in hardware.gpus())]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
    return f"{platform.machine()}-{psutil.cpu_count()}c-{digest}".lower().replace("_", "-")


def anonymous(text: str) -> str:
    """A message without folders and without this host's name: of a path only the file's name is left. Records are published.

    >>> anonymous('File "/home/alice/my code/x.py", line 3')
    'File "x.py", line 3'
    """
    text = re.sub(r"""(["'])~?(?:/[^/"'\n]+)*/([^/"'\n]+)\1""", r"\1\2\1", text)  # in quotes, where a path may hold blanks
    text = re.sub(r"""(?<![\w:/])~?(?:/[^/\s"':,;<>|()\[\]]+)*/([^/\s"':,;<>|()\[\]]+)""", r"\1", text)
    return re.sub(rf"\b{re.escape(platform.node())}\b", "HOST", text) if platform.node() else text
