"""The GPUs of a machine, from an nvidia-smi that is new, old, or of no help."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnbench.store import hardware

# Two GPUs as nvidia-smi prints them: a whole one, and a consumer's, which has no MIG and no fixed limit.
GPUS = """NVIDIA H200, 570.133.20, 143771 MiB, 700.00 W, 700.00 W, 345 MHz, 3201 MHz, 1980 MHz, 3201 MHz, Enabled, Disabled
NVIDIA GeForce GTX 1650, 570.133.20, 4096 MiB, [N/A], [N/A], 300 MHz, 405 MHz, 2100 MHz, 4001 MHz, Disabled, [N/A]
"""

# Answers that cannot be understood: of a broken driver, of another format, of another program.
STRANGE = (
    "Failed to initialize NVML: Driver/library version mismatch",
    "| NVIDIA-SMI 570.133.20     Driver Version: 570.133.20     CUDA Version: 12.8     |",
    "name, driver_version, memory.total [MiB], power.limit [W]",
    '{"gpus": [1, 2, 3, 4]}',
    "one, two, three, four, five, six, seven, eight, nine, ten, eleven",
    "NVIDIA H200; 570.133.20; 143771 MiB; 700.00 W",
    ",,,",
)


def test_gpus_as_nvidia_smi_prints_them() -> None:
    one, other = hardware.parse_gpus("WARNING: infoROM is corrupted at gpu 0000:18:00.0\n" + GPUS, hardware.GPU_FIELDS)
    assert one["name"] == "NVIDIA H200"
    assert (one["power.limit"], one["power.default_limit"], one["clocks.max.sm"]) == ("700.00 W", "700.00 W", "1980 MHz")
    assert (one["persistence_mode"], one["mig.mode.current"]) == ("Enabled", "Disabled")
    assert other.keys() == one.keys() - {"power.limit", "power.default_limit", "mig.mode.current"}
    assert hardware.parse_gpus("", hardware.GPU_FIELDS) == []


def fake_nvidia_smi(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of this name in front of all others."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    hardware.gpus.cache_clear()


def test_an_older_nvidia_smi_is_asked_for_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse = 'case "$1" in *mig*) echo "Field \\"mig.mode.current\\" is not a valid field to query."; exit 2;; esac'
    try:
        fake_nvidia_smi(tmp_path, refuse + '\necho "Tesla K80, 418.87.01, 11441 MiB, 149.00 W"', monkeypatch)
        expected = {"name": "Tesla K80", "driver_version": "418.87.01", "memory.total": "11441 MiB", "power.limit": "149.00 W"}
        assert hardware.gpus() == [expected]
        fake_nvidia_smi(tmp_path, "exit 9", monkeypatch)
        assert hardware.gpus() == []
    finally:
        hardware.gpus.cache_clear()


@pytest.mark.parametrize("said", STRANGE)
def test_an_answer_of_another_format_is_no_gpu(said: str) -> None:
    for fields in (hardware.GPU_FIELDS, hardware.BASIC_GPU_FIELDS):
        assert hardware.parse_gpus(said, fields) == []


# Scripts of an nvidia-smi, each with what is known of the GPUs all the same.
UNHELPFUL = {
    "bytes that are no text": (r"printf '\377\376\200\n'", []),
    "a name that is no text": (r"printf 'GPU \377, 570.1, 81559 MiB, 700.00 W\n'", ["GPU \ufffd"]),
    "control characters": (r"printf 'NVIDIA\0 A\033, 570.1, 81559 MiB, 700.00 W\n'", ["NVIDIA\ufffd A\ufffd"]),
    "another format": ("echo '<?xml version=\"1.0\" ?>'", []),
    "an error": ("echo 'No devices were found' >&2; exit 6", []),
    "death": ("kill -11 $$", []),
    "more output than a table": ("exec head -c 9999999 /dev/zero", []),
}


@pytest.mark.parametrize(("script", "names"), UNHELPFUL.values(), ids=UNHELPFUL)
def test_an_nvidia_smi_that_is_of_no_help(script: str, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        fake_nvidia_smi(tmp_path, script, monkeypatch)
        assert [gpu["name"] for gpu in hardware.gpus()] == names
    finally:
        hardware.gpus.cache_clear()


def test_where_nvidia_smi_hangs_the_names_are_the_drivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the machine, whose name is made from them, is the same one as before."""
    for name, text in (("0000:18:00.0", "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 18\n"), ("0000:99:00.0", "")):
        (tmp_path / "gpus" / name).mkdir(parents=True)
        (tmp_path / "gpus" / name / "information").write_text(text)
    assert hardware.gpus_of_driver(tmp_path / "gpus") == [{"name": "NVIDIA H100 80GB HBM3"}]
    assert hardware.gpus_of_driver(tmp_path / "none") == []
    monkeypatch.setattr(hardware, "gpus_of_driver", lambda: [{"name": "NVIDIA H100 80GB HBM3"}])
    monkeypatch.setattr(hardware, "result_of", lambda command: (None, ""))
    try:
        hardware.gpus.cache_clear()
        assert hardware.gpus() == [{"name": "NVIDIA H100 80GB HBM3"}]
    finally:
        hardware.gpus.cache_clear()
