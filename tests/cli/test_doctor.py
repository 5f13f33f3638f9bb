"""What `attnbench doctor` says of a machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from attnbench.cli.doctor import _devices
from attnbench.runner import can_measure, here
from attnbench.runner.here import TorchSays
from attnbench.spec import presets
from attnbench.store import identity
from helpers.command import cli_here


@pytest.fixture
def torch_says(monkeypatch: pytest.MonkeyPatch) -> object:
    """Sets what torch says."""

    def put(said: TorchSays | None) -> None:
        monkeypatch.setattr(here, "torch_says", lambda: said)
        here.gpu.cache_clear()

    yield put
    here.gpu.cache_clear()


def facts(results: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(cli_here("doctor", "--json", "--results", str(results)).stdout)
    return found


@pytest.mark.parametrize(
    ("said", "device", "words"),
    [
        (TorchSays(), "cuda", "none here (this torch is built for the CPU alone)"),
        (TorchSays(cuda="13.0"), "cuda", "none here (this torch is built for CUDA 13.0)"),
        (TorchSays("cuda", "NVIDIA H100", cuda="13.0"), "cuda", "NVIDIA H100: measured"),
        (TorchSays("cuda", "AMD Instinct MI300X", hip="6.4"), "cuda", "AMD Instinct MI300X through ROCm 6.4"),
        (TorchSays("mps"), "mps", "not measured"),
        (TorchSays("xpu"), "xpu", "not measured"),
        (None, "cpu", "torch gave no answer"),
    ],
)
def test_every_device_of_this_torch_is_named_with_what_is_measured_on_it(
    said: TorchSays | None, device: str, words: str, torch_says: object, results: Path
) -> None:
    torch_says(said)
    found = facts(results)
    assert words in found["devices"][device]
    assert found["cuda"] == (said is not None and said.gpu is not None)
    assert "cpu" in found["devices"]


def test_on_a_system_that_cannot_measure_no_device_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(can_measure.sys, "platform", "win32")
    assert _devices(TorchSays("cuda", "NVIDIA H100"))["cpu"] == "not measured on this system"


@pytest.mark.parametrize("gpu", [None, "NVIDIA H100"])
def test_every_preset_that_fits_is_listed(gpu: str | None, torch_says: object, results: Path) -> None:
    torch_says(TorchSays(gpu=gpu))
    fitting = [name for name, preset in presets.PRESETS.items() if gpu or preset.device == "cpu"]
    assert facts(results)["presets"] == fitting and "claims" in fitting
    shown = cli_here("doctor", "--results", str(results)).stdout
    assert all(name in shown for name in fitting)


def test_a_name_that_is_not_unique_is_told(torch_says: object, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch_says(TorchSays())
    monkeypatch.delenv("ATTNBENCH_MACHINE", raising=False)
    monkeypatch.setattr(identity.uuid, "getnode", lambda: 1 << 40)
    monkeypatch.setattr(identity, "FILES", (results / "none",))
    identity.identity.cache_clear()
    try:
        for arguments in (("doctor",), ("doctor", "--json"), ("doctor", "--machine")):
            assert "ATTNBENCH_MACHINE=NAME" in cli_here(*arguments, "--results", str(results)).stderr
        assert facts(results)["machine_is_unique"] is False
        assert "ATTNBENCH_MACHINE=NAME" not in cli_here("doctor", "--results", str(results), ATTNBENCH_MACHINE="desk").stderr
    finally:
        identity.identity.cache_clear()
