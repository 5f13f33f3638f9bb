"""Facts about the machine that measures: hardware, versions, threads, and the commit of the code. No path, user or host name."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import uuid
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import psutil

from attnbench.errors import BadInput
from attnbench.store import hardware, names

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
    if not (root / ".git").exists():
        return {"commit": None, "dirty": None}
    changed = _git(root, "status", "--porcelain", "--untracked-files=all", "--", "suite", "benchmarks")
    return {"commit": _git(root, "rev-parse", "HEAD"), "dirty": None if changed is None else bool(changed)}


def _git(root: Path, *arguments: str) -> str | None:
    """The output of a git command; None if git fails, is missing or too slow. A cell is measured even if the commit is unknown."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, encoding="utf-8", errors="replace", check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


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
        why = names.refusal(given)
        if why is not None:
            raise BadInput(f"ATTNBENCH_MACHINE is {given!r}; {why}")
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
