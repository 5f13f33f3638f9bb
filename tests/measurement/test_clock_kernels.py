"""Kernels timed apart from their launch: by a graph's replay or by the profiler, and never by calls whose results do not hold.

On a device of the tests; the GPU's own is tried where there is one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from attnbench.measurement import device
from attnbench.measurement.cell_result import Measurement
from attnbench.measurement.clock import WARM_ROUNDS, Turn
from attnbench.measurement.device import CUDA, CudaKernels
from attnbench.measurement.guard import Guard
from attnbench.measurement.kernel_clock import ENOUGH, NotTimed, covered_s, kernel_times
from attnbench.measurement.timed import VerifiedTrial
from attnbench.measurement.tracks import measure_cell
from attnbench.measurement.tracks.call import KernelTrial
from helpers.changed_template import FORWARD, OUT, write
from helpers.devices import BUSY_S, SPAN_S, DeviceWithKernels
from helpers.records import make_spec

pytestmark = pytest.mark.alone
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")


def cell(gpu: DeviceWithKernels, monkeypatch: pytest.MonkeyPatch, source: str = "softmax", **axes: Any) -> tuple[Measurement, list[str]]:
    """A measured cell of a device with kernels, and its stages."""
    monkeypatch.setattr(device, "CPU", gpu)
    stages: list[str] = []
    return measure_cell(make_spec(variant=Path(source).stem, **{"seq_len": 48, **axes}), source, None, stages.append), stages


@pytest.mark.parametrize(
    "axes",
    [{}, pytest.param({"track": "depth", "num_heads": 2, "head_dim": 4, "num_layers": 2, "block": "residual"}, marks=pytest.mark.long)],
)
@pytest.mark.parametrize(("mode", "clock", "seconds"), [("forward", "graph", SPAN_S), ("training", "profiler", BUSY_S)])
def test_a_cell_has_its_kernels_seconds_and_how_they_were_told(
    mode: str, clock: str, seconds: float, axes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = DeviceWithKernels()
    measured, stages = cell(gpu, monkeypatch, mode=mode, **axes)
    assert measured.samples[f"{mode}_kernel_s"] == [seconds] * ENOUGH.many
    assert measured.clocks[f"{mode}_kernel_s"] == "device"
    assert (measured.facts["kernel_clock"], measured.facts["timing"]) == (clock, "settled")
    assert stages.index("kernels") > stages.index("verify") > stages.index("time")
    assert ("capture" in gpu.log) == (clock == "graph")
    assert not any("_device_s" in name for name in measured.samples)


@pytest.mark.parametrize("mode", ["prefill", pytest.param("decode", marks=pytest.mark.long)])
def test_a_call_that_leaves_a_state_is_not_captured(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = DeviceWithKernels()
    measured, _ = cell(gpu, monkeypatch, mode=mode, causal=True)
    assert (measured.facts["kernel_clock"], len(measured.samples[f"{mode}_kernel_s"])) == ("profiler", ENOUGH.many)
    assert "capture" not in gpu.log


def test_the_window_of_the_wall_clock_is_after_a_flush_and_between_two_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    from attnbench.measurement.clock import StoppingRule, take_turns

    gpu = DeviceWithKernels()
    monkeypatch.setattr(device, "CPU", gpu)
    now = iter(range(100))

    def clock() -> float:
        gpu.log.append("clock")
        return float(next(now))

    turn = Turn(
        lambda _: gpu.log.append("call"),
        prepare=lambda: gpu.log.append("prepare"),
        inspect=lambda _: gpu.log.append("inspect"),
    )
    take_turns({"one": turn}, "cpu", StoppingRule(many=1, many_s=0.0), clock)
    one_round = ["prepare", "flush", "synchronise", "clock", "call", "synchronise", "clock", "inspect"]
    assert gpu.log == one_round * (WARM_ROUNDS + 1)


def test_a_call_that_cannot_be_captured_is_profiled_and_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = DeviceWithKernels(captures=False)
    measured, _ = cell(gpu, monkeypatch)
    assert measured.facts["kernel_clock"] == "profiler"
    assert measured.samples["forward_kernel_s"] == [BUSY_S] * ENOUGH.many
    assert "replay" not in gpu.log
    assert len(measured.samples["attention_frobenius"]) == 4  # which are computed after it


def test_a_graph_that_replays_something_else_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = DeviceWithKernels(replays=False)
    measured, _ = cell(gpu, monkeypatch)
    assert "replay" in gpu.log
    assert measured.facts["kernel_clock"] == "profiler"


def test_what_is_lazy_where_its_kernels_are_timed_gets_no_kernel_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows those calls by who calls it; its wall times were verified, and stand."""
    lazy = "lazy = any('kernel_clock' in str(f.filename) for f in __import__('inspect').stack(0))"
    source = write(tmp_path, {FORWARD: f"{lazy}\n        return {OUT} * (0.0 if lazy else 1.0)"})
    measured, _ = cell(DeviceWithKernels(), monkeypatch, source)
    assert measured.samples["forward_s"]
    assert not {"forward_kernel_s", "kernel_clock"} & {*measured.samples, *measured.facts}
    assert measured.facts["kernels_not_timed"]


def test_no_kernel_seen_is_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = DeviceWithKernels()
    monkeypatch.setattr(device, "CPU", gpu)
    monkeypatch.setattr(gpu, "intervals", lambda run, flush: (run(), []))
    trial, guard = KernelTrial(make_spec(seq_len=48, mode="training"), "softmax"), Guard()
    found = kernel_times(lambda: VerifiedTrial(trial, guard), "training", "cpu", gpu)
    assert isinstance(found, NotTimed) and "saw no kernel" in found.why


@pytest.mark.parametrize(
    ("intervals", "ns"),
    [
        ([], 0),
        ([(5, 9)], 4),
        ([(5, 9), (5, 9)], 4),
        ([(7, 12), (5, 9)], 7),
        ([(0, 100), (10, 20), (90, 110)], 110),
        ([(0, 1), (1, 2), (4, 6)], 4),
    ],
)
def test_what_overlaps_is_counted_once(intervals: list[tuple[int, int]], ns: int) -> None:
    assert covered_s(intervals) == ns / 1e9


def test_a_cell_on_the_processor_has_no_kernels_apart() -> None:
    stages: list[str] = []
    measured = measure_cell(make_spec(seq_len=48), "softmax", None, stages.append)
    assert "kernels" not in stages and "forward_kernel_s" not in measured.samples
    assert measured.facts["timing"] == "settled"


@needs_gpu
def test_a_graph_of_the_gpu_replays_on_new_inputs() -> None:
    x = torch.ones(1000, device="cuda")
    replay = CudaKernels().capture(lambda: x * 2)
    x.fill_(3.0)
    result, seconds = CudaKernels().span(replay, CUDA.flusher())
    assert isinstance(result, torch.Tensor) and result.tolist() == [6.0] * 1000
    assert seconds > 0


@needs_gpu
def test_a_capture_that_fails_on_the_gpu_leaves_stream_generator_and_module_usable() -> None:
    stream, x = torch.cuda.current_stream(), torch.ones(10, device="cuda")
    with pytest.raises(RuntimeError):
        CudaKernels().capture(lambda: torch.randn(10, device="cuda") * float(x.sum()))
    assert torch.cuda.current_stream() == stream
    assert torch.isfinite(torch.randn(10, device="cuda")).all() and (x + x).tolist() == [2.0] * 10


@needs_gpu
def test_the_profiler_sees_the_gpus_kernels() -> None:
    x = torch.randn(2048, 2048, device="cuda")
    _, intervals = CudaKernels().intervals(lambda: x @ x, CUDA.flusher())
    assert intervals and covered_s(intervals) > 0
