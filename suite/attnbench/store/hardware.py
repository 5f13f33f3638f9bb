"""Facts about the processor and the GPUs from Linux and nvidia-smi; a fact that cannot be read is left out."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

CPU0 = Path("/sys/devices/system/cpu/cpu0")
CPUINFO = Path("/proc/cpuinfo")
NVIDIA_DRIVER = Path("/dev/nvidiactl")
CACHE_KINDS = {"Data": "d", "Instruction": "i"}
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}

BASIC_GPU_FIELDS = ("name", "driver_version", "memory.total", "power.limit")
# Fields by nvidia-smi's names. clocks.sm and clocks.mem are the current clocks.
GPU_FIELDS = (
    *BASIC_GPU_FIELDS, "power.default_limit", "clocks.sm", "clocks.mem", "clocks.max.sm", "clocks.max.mem", "persistence_mode",
    "mig.mode.current",
)  # fmt: skip


@cache
def cpu_model() -> str:
    """The processor's name, from /proc/cpuinfo where there is one."""
    return _from_cpuinfo("model name", CPUINFO) or platform.processor() or platform.machine()


def caches_bytes(cpu0: Path = CPU0) -> dict[str, int]:
    """Sizes in bytes of the first processor's caches, by level and kind: {"L1d": 49152, "L1i": 65536, "L2": 2097152}."""
    found = {}
    for folder in sorted(cpu0.glob("cache/index*")):
        level, kind, size = (_read(folder / name) for name in ("level", "type", "size"))
        number = re.fullmatch(r"(\d+)([KMG]?)", size or "")
        if level and number:
            found[f"L{level}{CACHE_KINDS.get(kind or '', '')}"] = int(number[1]) * UNITS[number[2]]
    return found


def clock(cpu0: Path = CPU0, cpuinfo: Path = CPUINFO) -> dict[str, float | str]:
    """clock_mhz, max_clock_mhz and governor of the first processor; those that the system does not report are left out."""
    found: dict[str, float | str] = {}
    for name, file in (("clock_mhz", "scaling_cur_freq"), ("max_clock_mhz", "cpuinfo_max_freq")):
        kilohertz = _read(cpu0 / "cpufreq" / file)
        if kilohertz and kilohertz.isdecimal():
            found[name] = int(kilohertz) / 1e3
    if "clock_mhz" not in found:  # a virtual machine has no cpufreq
        megahertz = _from_cpuinfo("cpu MHz", cpuinfo)
        if megahertz:
            found["clock_mhz"] = round(float(megahertz), 1)
    governor = _read(cpu0 / "cpufreq" / "scaling_governor")
    if governor:
        found["governor"] = governor
    return found


def has_nvidia_driver() -> bool:
    """Whether an NVIDIA driver is installed, so that CUDA may find a GPU; does not call CUDA."""
    return NVIDIA_DRIVER.exists()


@cache
def gpus() -> list[dict[str, str]]:
    """Name, driver, memory, power limits, clocks and modes of every NVIDIA GPU, from nvidia-smi; empty where there is none."""
    if shutil.which("nvidia-smi") is None:
        return []
    for fields in (GPU_FIELDS, BASIC_GPU_FIELDS):  # an older nvidia-smi refuses a whole query for one field that it does not know
        command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
        try:
            found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        except (OSError, subprocess.TimeoutExpired):  # a driver that hangs, or a file that cannot be run: facts left out, not a failed run
            return []
        if found.returncode == 0:
            return parse_gpus(found.stdout, fields)
    return []


def parse_gpus(table: str, fields: tuple[str, ...]) -> list[dict[str, str]]:
    """The fields of every GPU in nvidia-smi's CSV output (no header, a GPU a line).

    Lines that are warnings are skipped; fields that are "[N/A]" or "[Not Supported]" are left out.
    """
    rows = [[value.strip() for value in line.split(",")] for line in table.splitlines()]
    whole = [row for row in rows if len(row) == len(fields)]
    return [{name: value for name, value in zip(fields, row, strict=True) if not value.startswith("[")} for row in whole]


def _from_cpuinfo(key: str, cpuinfo: Path) -> str | None:
    for line in (_read(cpuinfo) or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # missing, or not readable, as in some containers
        return None
