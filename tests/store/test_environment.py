"""What the system says of its hardware, in recorded samples and here."""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from attnbench.store import environment, hardware
from attnbench.store.commit import commit

CACHES = {
    "index0": ("1", "Data", "48K"),
    "index1": ("1", "Instruction", "64K"),
    "index2": ("2", "Unified", "2048K"),
    "index3": ("3", "Unified", "491520K"),
}

# Of a virtual machine, cut.
CPUINFO = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Processor
cpu MHz\t\t: 2599.998
cache size\t: 491520 KB

processor\t: 1
model name\t: Intel(R) Xeon(R) Processor
cpu MHz\t\t: 2600.100
"""

VERSION_FILE = """from typing import Optional

__all__ = ['__version__', 'debug', 'cuda', 'git_version', 'hip']
__version__ = '2.13.0'
debug = False
cuda: Optional[str] = {cuda}
git_version = 'cf30153c4c131c8164ee7798e5022d810682e2cb'
hip: Optional[str] = None
"""


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text + "\n")
    return folder


def test_caches_by_level_and_kind(tmp_path: Path) -> None:
    for name, (level, kind, size) in CACHES.items():
        write(tmp_path / "cache" / name, level=level, type=kind, size=size)
    assert hardware.caches_bytes(tmp_path) == {"L1d": 48 * 2**10, "L1i": 64 * 2**10, "L2": 2 * 2**20, "L3": 480 * 2**20}


def test_a_cache_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "cache" / "index0", level="1", type="Data", size="unknown")
    write(tmp_path / "cache" / "index1", level="2", type="Unified")
    write(tmp_path / "cache" / "index2", level="3", size="33M")
    assert hardware.caches_bytes(tmp_path) == {"L3": 33 * 2**20}
    assert hardware.caches_bytes(tmp_path / "nowhere") == {}


def test_clock_and_governor_where_linux_scales_the_frequency(tmp_path: Path) -> None:
    write(tmp_path / "cpufreq", scaling_cur_freq="1400123", cpuinfo_max_freq="4700000", scaling_governor="powersave")
    expected = {"clock_mhz": 1400.123, "max_clock_mhz": 4700.0, "governor": "powersave"}
    assert hardware.clock(tmp_path, tmp_path / "none") == expected


def test_a_virtual_machines_clock_is_in_cpuinfo(tmp_path: Path) -> None:
    write(tmp_path, cpuinfo=CPUINFO)
    assert hardware.clock(tmp_path, tmp_path / "cpuinfo") == {"clock_mhz": 2600.0}
    assert hardware.clock(tmp_path, tmp_path / "none") == {}


@pytest.mark.parametrize("said", ["unknown", "-1", "2599,9", "nan", "inf", "1e999", "", "\u00b2", "\x00"])
def test_a_clock_that_is_no_number_is_left_out(said: str, tmp_path: Path) -> None:
    write(tmp_path / "cpufreq", scaling_cur_freq=said, cpuinfo_max_freq=said)
    write(tmp_path, cpuinfo=f"cpu MHz\t\t: {said}")
    assert hardware.clock(tmp_path, tmp_path / "cpuinfo") == {}


@pytest.mark.parametrize("size", ["9" * 30 + "K", "48.5K", "\u00b2K", "-1K", "48 kB", "K"])
def test_a_size_that_is_no_whole_number_is_left_out(size: str, tmp_path: Path) -> None:
    write(tmp_path / "cache" / "index0", level="1", type="Data", size=size)
    assert hardware.caches_bytes(tmp_path) == {}


def test_files_of_the_system_need_not_be_text(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_bytes(b"cpu MHz\t: \xff\nmodel name\t: \xfe\xff processor\n")
    (tmp_path / "version.py").write_bytes(b"# \xff\ncuda = '13.0'\n")
    assert hardware.clock(tmp_path, tmp_path / "cpuinfo") == {}
    assert environment.torch_cuda(tmp_path / "version.py")["cuda_version"] == "13.0"


def test_a_build_for_rocm_is_not_called_one_for_cuda(tmp_path: Path) -> None:
    text = VERSION_FILE.format(cuda="None").replace("hip: Optional[str] = None", "hip: Optional[str] = '6.4.43482-0f2d60242'")
    write(tmp_path, **{"version.py": text})
    assert environment.torch_cuda(tmp_path / "version.py") == {"hip_version": "6.4.43482-0f2d60242"}


def test_damaged_metadata_of_a_package_are_no_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "odd_package-1.0.dist-info").mkdir()
    (tmp_path / "odd_package-1.0.dist-info" / "METADATA").write_bytes(b"Name: odd-package\nVersion: \xff\xfe\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert environment.version_of("odd-package") in (None, "\ufffd\ufffd")
    assert environment.version_of("no-such-package") is None


def test_a_commit_that_git_cannot_tell_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for script in (r"printf '\377'; exit 0", "exit 128", "kill -9 $$"):
        program = tmp_path / "git"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        commit.cache_clear()
        try:
            assert commit() == {"commit": None, "dirty": None}
        finally:
            commit.cache_clear()


def test_threads_are_within_every_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def threads(cores: int | None, allowed: int, quota: float | None, **variables: str) -> int:
        with monkeypatch.context() as patch:
            patch.setattr(os, "sched_getaffinity", lambda _: set(range(allowed)))
            patch.setattr(hardware, "cores", lambda: cores)
            patch.setattr(environment, "processor_quota", lambda: quota)
            for name, value in variables.items():
                patch.setenv(name, value)
            return environment.physical_cores()

    monkeypatch.delenv("OMP_THREAD_LIMIT", raising=False)
    assert threads(8, 16, None) == 8
    assert threads(8, 3, None) == 3
    assert threads(None, 5, None) == 5
    assert threads(8, 16, 2.9) == 2
    assert threads(8, 16, 0.5) == 1
    assert threads(2, 2, 64.0) == 2
    assert threads(8, 16, None, OMP_THREAD_LIMIT="2") == 2
    assert threads(8, 16, None, OMP_THREAD_LIMIT="two") == 8
    assert threads(8, 16, None, OMP_NUM_THREADS="2") == 8  # which torch.set_num_threads overrides


def test_memory_is_that_of_the_machine_or_of_its_control_group(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = hardware.memory_bytes()
    assert whole is not None
    for limit, expected in ((2**30, 2**30), (2**62, whole), (None, whole)):
        monkeypatch.setattr(hardware, "memory_limit_bytes", lambda limit=limit: limit)
        assert hardware.memory_bytes() == expected


@pytest.mark.parametrize(("cuda", "expected"), [("'13.0'", {"cuda_version": "13.0"}), ("None", {})])
def test_the_cuda_of_a_torch_build(cuda: str, expected: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path, **{"version.py": VERSION_FILE.format(cuda=cuda)})
    found = environment.torch_cuda(tmp_path / "version.py")
    assert {name: value for name, value in found.items() if name != "cudnn_version"} == expected
    assert environment.torch_cuda(tmp_path / "none.py") == {}


def test_torch_is_not_imported_to_describe_it() -> None:
    program = "import sys; from attnbench.store import environment; environment.describe(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_cuda_found_is_that_of_this_torch() -> None:
    import torch

    assert environment.torch_cuda().get("cuda_version") == torch.version.cuda


def test_a_description_is_strict_json_without_path_user_or_host() -> None:
    facts = environment.describe()
    assert {"cpu", "cores", "threads", "caches_bytes", "memory_bytes", "gpus", "os", "libc", "python", "torch", "commit"} <= facts.keys()
    text = json.dumps(facts, allow_nan=False)
    assert not re.search(r"/[a-z]+/", text)
    words = set(re.findall(r"[\w.-]+", text))
    assert not words & {platform.node(), getpass.getuser(), Path.home().name}
