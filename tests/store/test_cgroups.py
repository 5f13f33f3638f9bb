"""The limits of control groups, from folders that imitate the kernel's."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnbench.store import cgroups

GIB = 2**30
UNLIMITED_V1 = str(2**63 - 4096)


def make(root: Path, mine: str, **files: str) -> tuple[Path, Path]:
    """The folder of control groups, and the file that names this process's own.

    files: contents by path, "__" for a slash, "_dot_" for a dot.
    """
    mounted = root / "cgroup"
    for name, content in files.items():
        file = mounted / name.replace("__", "/").replace("_dot_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content + "\n")
    (root / "mine").write_text(mine)
    return mounted, root / "mine"


V1 = "5:memory:/pod/box\n4:cpu,cpuacct:/pod/box\n3:cpuset:/\n1:name=systemd:/\n0::/\n"


@pytest.mark.parametrize(
    ("mine", "files", "expected"),
    [
        ("0::/\n", {"cpu_dot_max": "100000 100000"}, 1.0),  # a container with a namespace of its own
        ("0::/pod/box\n", {"pod__box__cpu_dot_max": "150000 100000"}, 1.5),
        ("0::/pod/box\n", {"pod__box__cpu_dot_max": "max 100000", "pod__cpu_dot_max": "50000 100000"}, 0.5),  # the group above is tighter
        ("0::/pod/box\n", {"pod__box__cpu_dot_max": "100000 50000", "pod__cpu_dot_max": "400000 100000"}, 2.0),
        ("0::/../host/box\n", {"cpu_dot_max": "200000 100000"}, 2.0),  # its path is the host's
        ("0::/a:b\n", {"a:b__cpu_dot_max": "100000"}, 1.0),
        ("0::/\n", {"cpu_dot_max": "max"}, None),
        ("0::/\n", {"cpu_dot_max": "some words"}, None),
        ("0::/\n", {"cpu_dot_max": ""}, None),
        ("0::/\n", {}, None),
        ("", {"cpu_dot_max": "100000 100000"}, None),
        ("0::/\n", {"unified__cpu_dot_max": "100000 100000"}, 1.0),  # both versions at once
        (V1, {"cpu,cpuacct__pod__box__cpu_dot_cfs_quota_us": "100000", "cpu,cpuacct__pod__box__cpu_dot_cfs_period_us": "100000"}, 1.0),
        (V1, {"cpu__pod__cpu_dot_cfs_quota_us": "25000", "cpu__pod__cpu_dot_cfs_period_us": "100000"}, 0.25),
        (V1, {"cpu__cpu_dot_cfs_quota_us": "300000", "cpu__cpu_dot_cfs_period_us": "100000"}, 3.0),  # of a container without a namespace
        (V1, {"cpu__pod__box__cpu_dot_cfs_quota_us": "-1", "cpu__pod__box__cpu_dot_cfs_period_us": "100000"}, None),
        (V1, {"cpuset__cpu_dot_cfs_quota_us": "100000"}, None),  # another controller's folder
    ],
)
def test_the_tightest_quota_of_processors(mine: str, files: dict[str, str], expected: float | None, tmp_path: Path) -> None:
    assert cgroups.processor_quota(*make(tmp_path, mine, **files)) == expected


@pytest.mark.parametrize(
    ("mine", "files", "expected"),
    [
        ("0::/pod/box\n", {"pod__box__memory_dot_max": str(4 * GIB), "pod__memory_dot_max": "max"}, 4 * GIB),
        ("0::/pod/box\n", {"pod__box__memory_dot_max": str(4 * GIB), "pod__memory_dot_max": str(GIB)}, GIB),
        ("0::/\n", {"memory_dot_max": "max"}, None),
        (V1, {"memory__pod__box__memory_dot_limit_in_bytes": str(2 * GIB), "memory__memory_dot_limit_in_bytes": UNLIMITED_V1}, 2 * GIB),
        (V1, {"memory__pod__box__memory_dot_limit_in_bytes": UNLIMITED_V1}, None),
        (V1, {"memory__memory_dot_limit_in_bytes": "0"}, None),
        ("garbage\n0\n0:memory\n", {"memory_dot_max": str(GIB)}, None),
    ],
)
def test_the_tightest_limit_of_memory(mine: str, files: dict[str, str], expected: int | None, tmp_path: Path) -> None:
    assert cgroups.memory_limit_bytes(*make(tmp_path, mine, **files)) == expected


def test_no_control_groups_at_all(tmp_path: Path) -> None:
    assert cgroups.processor_quota(tmp_path / "none", tmp_path / "none") is None
    assert cgroups.memory_limit_bytes(tmp_path / "none", tmp_path / "none") is None
