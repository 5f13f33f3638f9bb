"""Facts about the processor, the memory and the GPUs from Linux and nvidia-smi; a fact that cannot be read is left out."""

from __future__ import annotations

import platform
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from attnbench.store.cgroups import memory_limit_bytes
from attnbench.store.probe import fact, output_of, positive_number, result_of, text_of_file

CPU0 = Path("/sys/devices/system/cpu/cpu0")
CPUINFO = Path("/proc/cpuinfo")
GPU_DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/dxg"), Path("/dev/kfd"))  # of NVIDIA, of either in WSL, of AMD
NVIDIA_GPUS = Path("/proc/driver/nvidia/gpus")
CACHE_KINDS = {"Data": "d", "Instruction": "i"}
FAST_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16", "svebf16"})
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}

BASIC_GPU_FIELDS = ("name", "driver_version", "memory.total", "power.limit")
# Fields by nvidia-smi's names. clocks.sm and clocks.mem are the current clocks.
GPU_FIELDS = (
    *BASIC_GPU_FIELDS, "power.default_limit", "clocks.sm", "clocks.mem", "clocks.max.sm", "clocks.max.mem", "persistence_mode",
    "mig.mode.current",
)  # fmt: skip
# What two of them look like, by which an answer is told from words with as many commas.
_FORMS = {"driver_version": re.compile(r"[0-9.]+"), "memory.total": re.compile(r"[0-9.]+ [KMGT]i?B")}


@cache
def cpu_model() -> str:
    """The processor's name, from /proc/cpuinfo where there is one."""
    return _from_cpuinfo("model name", CPUINFO) or _processor() or platform.machine()


def _processor() -> str:
    """What platform.processor says, with a limit of time: it runs `uname -p`, and waits for it."""
    if sys.platform == "win32":
        return fact(platform.processor) or ""
    brand = output_of(["sysctl", "-n", "machdep.cpu.brand_string"]) if sys.platform == "darwin" else None
    said = brand or output_of(["uname", "-p"]) or ""
    return "" if said == "unknown" else said


def has_fast_bfloat16(cpuinfo: Path = CPUINFO) -> bool:
    """Whether the processor says that it has instructions for bfloat16, without which it takes longer than float32."""
    features = _from_cpuinfo("flags", cpuinfo) or _from_cpuinfo("Features", cpuinfo) or ""
    return not FAST_BFLOAT16.isdisjoint(features.split())


def logical_cores() -> int | None:
    """The number of logical processors of the machine."""
    return fact(lambda: _psutil().cpu_count())


def cores() -> int | None:
    """The number of physical cores of the machine; None in most virtual machines on ARM, which do not say."""
    return fact(lambda: _psutil().cpu_count(logical=False))


def memory_bytes() -> int | None:
    """The memory that this process may use: that of the machine, or of its control group where that is less."""
    known = (fact(lambda: _psutil().virtual_memory().total), memory_limit_bytes())
    return min((size for size in known if size), default=None)


def load_average() -> float | None:
    """How many processes computed or waited on this machine over the last minute."""
    return fact(lambda: round(_psutil().getloadavg()[0], 2))


def busy_percent() -> float | None:
    """The share of all processors that programs use, over half a second."""
    return fact(lambda: float(_psutil().cpu_percent(interval=0.5)))


def _psutil() -> Any:
    """psutil, imported when it is needed: reading results needs it not, and is to work where it cannot be had."""
    import psutil

    return psutil


def caches_bytes(cpu0: Path = CPU0) -> dict[str, int]:
    """Sizes in bytes of the first processor's caches, by level and kind: {"L1d": 49152, "L1i": 65536, "L2": 2097152}."""
    found = {}
    for folder in fact(lambda: sorted(cpu0.glob("cache/index*"))) or []:
        level, kind, size = (text_of_file(folder / name) for name in ("level", "type", "size"))
        number = re.fullmatch(r"([0-9]{1,9})([KMG]?)", size or "")
        if level and number:
            found[f"L{level}{CACHE_KINDS.get(kind or '', '')}"] = int(number[1]) * UNITS[number[2]]
    return found


def clock(cpu0: Path = CPU0, cpuinfo: Path = CPUINFO) -> dict[str, float | str]:
    """clock_mhz, max_clock_mhz and governor of the first processor; those that the system does not report are left out."""
    found: dict[str, float | str] = {}
    for name, file in (("clock_mhz", "scaling_cur_freq"), ("max_clock_mhz", "cpuinfo_max_freq")):
        kilohertz = positive_number(text_of_file(cpu0 / "cpufreq" / file))
        if kilohertz is not None:
            found[name] = kilohertz / 1e3
    if "clock_mhz" not in found:  # a virtual machine has no cpufreq
        megahertz = positive_number(_from_cpuinfo("cpu MHz", cpuinfo))
        if megahertz is not None:
            found["clock_mhz"] = round(megahertz, 1)
    governor = text_of_file(cpu0 / "cpufreq" / "scaling_governor")
    if governor:
        found["governor"] = governor
    return found


def has_gpu_driver() -> bool:
    """Whether a driver is installed with which CUDA or ROCm may find a GPU; calls neither."""
    return any(fact(driver.exists) for driver in GPU_DRIVERS)


@cache
def gpus() -> list[dict[str, str]]:
    """Name, driver, memory, power limits, clocks and modes of every NVIDIA GPU, from nvidia-smi; empty where there is none.

    Their names alone, from the driver's files, where nvidia-smi gives no answer that can be understood.
    """
    for fields in (GPU_FIELDS, BASIC_GPU_FIELDS):  # an older nvidia-smi refuses a whole query for one field that it does not know
        succeeded, table = result_of(["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"])
        if succeeded and (found := parse_gpus(table, fields)):
            return found
        if succeeded is None:  # none is installed, or its driver hangs and would hang again
            break
    return gpus_of_driver()


def gpus_of_driver(folder: Path = NVIDIA_GPUS) -> list[dict[str, str]]:
    """The names of the NVIDIA GPUs in the order of nvidia-smi, from the files of the Linux driver."""
    cards = fact(lambda: sorted(folder.glob("*/information"))) or []
    names = (_value_of("Model", text_of_file(card)) for card in cards)
    return [{"name": name} for name in names if name]


def parse_gpus(table: str, fields: tuple[str, ...]) -> list[dict[str, str]]:
    """The fields of every GPU in nvidia-smi's CSV output (no header, a GPU a line).

    Lines that are warnings, or of another format, are skipped; fields that are "[N/A]" or "[Not Supported]" are left out.
    """
    rows = [[value.strip() for value in line.split(",")] for line in table.splitlines()]
    whole = [dict(zip(fields, row, strict=True)) for row in rows if len(row) == len(fields)]
    told = [{name: value for name, value in row.items() if not value.startswith("[")} for row in whole]
    return [row for row in told if row.get("name") and all(form.fullmatch(row[name]) for name, form in _FORMS.items() if name in row)]


def _from_cpuinfo(key: str, cpuinfo: Path) -> str | None:
    return _value_of(key, text_of_file(cpuinfo))


def _value_of(key: str, text: str | None) -> str | None:
    """The value in the first line "key: value" of a text."""
    for line in (text or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None
