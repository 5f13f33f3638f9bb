"""Time, memory and FLOPs against what must come out."""

from __future__ import annotations

import time

import pytest
import torch
from torch.utils.benchmark import Timer

import attnbench
from attnbench import measure
from attnbench.cell import measure_cell
from factory import make_spec


def score_bytes(seq_len: int, heads: int = 4) -> int:
    return heads * seq_len * seq_len * 4


def test_wall_clock_sees_the_call_and_nothing_else() -> None:
    samples = measure.wall_clock_s(lambda _: time.sleep(0.02), "cpu")
    assert len(samples) >= measure.ENOUGH_SAMPLES
    assert 0.02 <= sorted(samples)[len(samples) // 2] < 0.025


def test_inputs_rotate_with_the_number_of_the_iteration() -> None:
    seen: list[int] = []
    measure.wall_clock_s(lambda i: (seen.append(i), time.sleep(0.03)), "cpu")
    assert seen == list(range(len(seen)))


def test_slow_calls_end_early_but_are_repeated() -> None:
    samples = measure.wall_clock_s(lambda _: time.sleep(1.4), "cpu")
    assert len(samples) == measure.FEW_SAMPLES


@pytest.mark.slow
def test_median_agrees_with_torchs_timer() -> None:
    q, k, v = torch.randn(3, 1, 4, 1024, 64)
    module = attnbench.build("softmax", 4, 64)
    with torch.no_grad():
        theirs = Timer("m(q, k, v)", globals={"m": module, "q": q, "k": k, "v": v}, num_threads=torch.get_num_threads())
        ratios = []
        for _ in range(5):  # interleaved, for the machine drifts
            mine = sorted(measure.wall_clock_s(lambda _: module(q, k, v), "cpu"))
            ratios.append(mine[len(mine) // 2] / theirs.blocked_autorange(min_run_time=0.3).median)
    assert 0.85 < sorted(ratios)[2] < 1.15


@pytest.mark.parametrize("seq_len", [257, 512])
def test_naive_softmax_takes_its_matrices_and_no_more(seq_len: int) -> None:
    """Scores and their softmax live at once: two matrices, exact to 5 %."""
    q, k, v = torch.randn(3, 1, 4, seq_len, 16)
    module = attnbench.build("softmax_math", 4, 16)
    with torch.no_grad():
        module(q, k, v)
        peak = measure.peak_memory_bytes(lambda _: module(q, k, v), "cpu")
    assert peak == pytest.approx(2 * score_bytes(seq_len), rel=0.05)


def test_memory_repeats_exactly_and_grows_linearly_for_orthogonal() -> None:
    peaks = []
    for seq_len in (1024, 1024, 4096):
        q, k, v = torch.randn(3, 1, 4, seq_len, 64)
        module = attnbench.build("orthogonal", 4, 64, seq_len=seq_len)
        with torch.no_grad():
            module(q, k, v)
            peaks.append(measure.peak_memory_bytes(lambda _, m=module, x=(q, k, v): m(*x), "cpu"))
    assert peaks[0] == peaks[1]
    assert peaks[2] <= 4.2 * peaks[0]


@pytest.mark.parametrize("variant", ["softmax", "softmax_math", "polynomial"])
def test_flops_are_the_two_products_of_attention(variant: str) -> None:
    q, k, v = torch.randn(3, 1, 4, 128, 16)
    module = attnbench.build(variant, 4, 16)
    with torch.no_grad():
        assert measure.flops(lambda _: module(q, k, v)) == 2 * 2 * 4 * 128 * 128 * 16


def test_a_kernel_cell_has_every_metric() -> None:
    stages: list[str] = []
    measured = measure_cell(make_spec(seq_len=64, mode="training"), "softmax", None, stages.append)
    assert measured.samples.keys() == {"training_s", "peak_memory_bytes", "flops", "error"}
    assert measured.samples["error"][0] < 1e-5
    assert stages == ["build", "warm up", "time", "memory", "flops", "verify"]


def test_a_depth_cell_says_that_it_diverged() -> None:
    axes = {"track": "depth", "seq_len": 16, "num_heads": 4, "head_dim": 8, "block": "skipless", "mode": "training"}
    exploding = measure_cell(make_spec(**axes, variant="polynomial", num_layers=6), "polynomial", None, lambda _: None)
    assert exploding.samples["diverged"] == [1.0]
    assert exploding.samples["jacobian_condition"] == [1e15]
    calm = measure_cell(make_spec(**axes, variant="orthogonal", num_layers=6), "orthogonal", None, lambda _: None)
    assert calm.samples["diverged"] == [0.0]
    assert calm.samples["jacobian_condition"][0] < 1e5
    assert len(calm.samples["orthogonality_error"]) == 6
