"""Facts about the machine that measures: hardware, versions, threads, and the commit of the code. No path, user or host name."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from attnbench.errors import BadInput
from attnbench.store import hardware, names
from attnbench.store.cgroups import processor_quota
from attnbench.store.commit import commit
from attnbench.store.identity import identity
from attnbench.store.probe import fact, text_of_file

_PACKAGE = Path(__file__).parents[1]


def physical_cores() -> int:
    """The number of physical cores that this process may use: those of the machine, its affinity, and its control group's quota.

    A quota of 1.5 processors gives one, because two threads would be stopped in turn; so does one of half a processor. OMP_THREAD_LIMIT,
    beyond which OpenMP starts no threads whatever torch asks for, is a limit too.
    """
    allowed = fact(lambda: len(os.sched_getaffinity(0))) or os.cpu_count() or 1
    limits = (allowed, hardware.cores(), processor_quota(), fact(lambda: int(os.environ["OMP_THREAD_LIMIT"])))
    return max(1, min(int(limit) for limit in limits if limit is not None))


@cache
def version_of(package: str) -> str | None:
    """The installed version of a package, without importing it; None if it is not installed."""
    return fact(lambda: importlib.metadata.version(package))


def torch_cuda(version_file: Path | None = None) -> dict[str, str]:
    """cuda_version and cudnn_version of the installed torch build, or hip_version of one for ROCm, without importing it; empty for neither.

    version_file: torch/version.py; searched for if not given. The version of cuDNN is that of the package that a CUDA build depends on.
    """
    text = text_of_file(version_file or _torch_folder() / "version.py") or ""
    built_for = {name: re.search(rf"""^{name}\b.*=\s*["']([\w.+-]+)["']""", text, re.M) for name in ("cuda", "hip")}
    found = {f"{name}_version": version[1] for name, version in built_for.items() if version}
    cudnn = version_of(f"nvidia-cudnn-cu{found['cuda_version'].partition('.')[0]}") if "cuda_version" in found else None
    return {**found, **({"cudnn_version": cudnn} if cudnn else {})}


def _torch_folder() -> Path:
    spec = fact(lambda: find_spec("torch"))
    return Path(spec.origin).parent if spec and spec.origin else Path()


@cache
def describe() -> dict[str, object]:
    """The facts about machine and software that may influence a measurement, by name."""
    quota = processor_quota()
    return {
        "cpu": hardware.cpu_model(),
        "cores": hardware.cores(),
        "logical_cores": hardware.logical_cores(),
        "threads": physical_cores(),
        **({} if quota is None else {"processor_quota": round(quota, 2)}),
        "caches_bytes": hardware.caches_bytes(),
        **hardware.clock(),
        "memory_bytes": hardware.memory_bytes(),
        "gpus": hardware.gpus(),
        "os": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "libc": fact(lambda: " ".join(platform.libc_ver()).strip()) or None,
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
    cores = hardware.logical_cores()
    parts = [identity().text, hardware.cpu_model(), str(cores), *(gpu.get("name", "") for gpu in hardware.gpus())]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
    return f"{platform.machine()}-{cores}c-{digest}".lower().replace("_", "-")


def shared_name() -> str | None:
    """A warning that other computers may have this machine's name, so that results of theirs would be taken for its own; else None."""
    if os.environ.get("ATTNBENCH_MACHINE") or identity().unique:
        return None
    return (
        f"nothing tells this machine from others with the same processor (no machine-id, no network card of its own), and they would all "
        f"be called {machine_name()}: name it with ATTNBENCH_MACHINE=NAME"
    )


def anonymous(text: str) -> str:
    """A message without folders and without this host's name: of a path only the file's name is left. Records are published.

    >>> anonymous('File "/home/alice/my code/x.py", line 3')
    'File "x.py", line 3'
    """
    text = re.sub(r"""(["'])~?(?:/[^/"'\n]+)*/([^/"'\n]+)\1""", r"\1\2\1", text)  # in quotes, where a path may hold blanks
    text = re.sub(r"""(?<![\w:/])~?(?:/[^/\s"':,;<>|()\[\]]+)*/([^/\s"':,;<>|()\[\]]+)""", r"\1", text)
    return re.sub(rf"\b{re.escape(platform.node())}\b", "HOST", text) if platform.node() else text
