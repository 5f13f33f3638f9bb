"""The processors and the memory that Linux's control groups allow this process: in a container they are the machine.

A group is limited by every group above it, so that the tightest counts. Both versions are read, from the usual places: version 2 under
/sys/fs/cgroup, version 1 in a folder for each controller there. Inside a container the path of the group may be that of the host, which is
not to be seen there; the top of what is to be seen is then the group itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from attnbench.store.probe import fact, positive_number, text_of_file

MOUNTED = Path("/sys/fs/cgroup")
MINE = Path("/proc/self/cgroup")
NO_LIMIT_BYTES = 2**60  # version 1 says almost 2**63 where there is none
PERIOD_US = 100_000.0  # the kernel's own, where a file names none


def processor_quota(mounted: Path = MOUNTED, mine: Path = MINE) -> float | None:
    """How many processors' time this process may use, 1.5 for example; None without a limit."""
    quotas = []
    for folder in _folders("cpu", mounted, mine):
        quota, *period = (text_of_file(folder / "cpu.max") or "").split() or [""]
        quotas.append(_share(quota, period[0] if period else None))
        quotas.append(_share(text_of_file(folder / "cpu.cfs_quota_us"), text_of_file(folder / "cpu.cfs_period_us")))
    return min((quota for quota in quotas if quota is not None), default=None)


def memory_limit_bytes(mounted: Path = MOUNTED, mine: Path = MINE) -> int | None:
    """How much memory this process and those in its group may use together; None without a limit."""
    files = (folder / name for folder in _folders("memory", mounted, mine) for name in ("memory.max", "memory.limit_in_bytes"))
    limits = [int(limit) for file in files if (limit := positive_number(text_of_file(file)))]
    return min((limit for limit in limits if limit < NO_LIMIT_BYTES), default=None)


def _folders(controller: str, mounted: Path, mine: Path) -> Iterator[Path]:
    """Yield the folders of this process's groups and of those above them that may hold a controller's limits."""
    for line in (text_of_file(mine) or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if not colon or (controllers and controller not in controllers.split(",")):
            continue
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        for root in _roots(controller, mounted) if controllers else (mounted, mounted / "unified"):
            yield from (root.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1))


def _roots(controller: str, mounted: Path) -> list[Path]:
    """The folders of version 1 in which a controller is mounted, alone or with others, as in "cpu,cpuacct"."""
    found = fact(lambda: [folder for folder in sorted(mounted.iterdir()) if controller in folder.name.split(",")])
    return found or []


def _share(quota: str | None, period: str | None) -> float | None:
    """Processors, from a quota of microseconds in a period; None for "max", -1, and what is no number."""
    allowed = positive_number(quota)
    return None if allowed is None else allowed / (positive_number(period) or PERIOD_US)
