"""Time, memory and FLOPs against what must come out."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch
from torch.utils.benchmark import Timer

import attnbench
from attnbench import measure, registry
from attnbench.cell import Measurement, measure_cell
from attnbench.verify import Incorrect
from factory import make_spec


def score_bytes(seq_len: int, heads: int = 4) -> int:
    return heads * seq_len * seq_len * 4


def test_wall_clock_sees_the_call_and_nothing_else() -> None:
    """As a ratio to the same sleep timed by hand, in one process."""
    samples = measure.wall_clock_s(lambda _: time.sleep(0.02), "cpu")
    assert len(samples) >= measure.ENOUGH_SAMPLES
    by_hand = []
    for _ in samples:
        began = time.perf_counter()
        time.sleep(0.02)
        by_hand.append(time.perf_counter() - began)
    assert 0.8 < median(samples) / median(by_hand) < 1.25


SEEING = """
"Values as they are, and a list of which inputs were seen."
import torch
from torch import nn
from attnbench.attention import Variant
seen = []
class Seeing(nn.Module):
    def forward(self, q, k, v, causal=False, padding_mask=None):
        seen.append(q.data_ptr())
        return {returned}
    def matrix(self, q, k, causal=False):
        return torch.eye(q.shape[-2], dtype=q.dtype).expand(*q.shape[:2], -1, -1)
VARIANT = Variant(build=lambda shape: Seeing(), citation="none", family="other", formula="V", causal=False, normalises_rows=True,
                  time_exponent=1.0, memory_exponent=1.0)
"""


def cell_of(file: Path, returned: str, **axes: Any) -> Measurement:
    file.write_text(SEEING.format(returned=returned))
    return measure_cell(make_spec(variant=file.stem, **axes), str(file), None, lambda _: None)


def test_inputs_of_a_cell_rotate(tmp_path: Path) -> None:
    file = tmp_path / "seeing.py"
    cell_of(file, "v", seq_len=64)
    seen = registry._from_file("variants", file).seen  # type: ignore[attr-defined]
    assert len(set(seen[:12])) == 4


def test_a_mechanism_that_is_wrong_only_where_it_is_long_is_found(tmp_path: Path) -> None:
    returned = "v if q.shape[-2] <= 256 else v.roll(1, -2)"
    assert cell_of(tmp_path / "wrong.py", returned, seq_len=256).samples["error"][0] < 1e-6
    with pytest.raises(Incorrect, match="1e-03 is allowed"):
        cell_of(tmp_path / "wrong.py", returned, seq_len=300)


def test_wrong_gradients_are_found(tmp_path: Path) -> None:
    returned = "v.detach() + 0.5 * (v - v.detach()) + 0 * (q + k)"
    assert cell_of(tmp_path / "gradient.py", returned, seq_len=64).samples["error"][0] < 1e-6
    with pytest.raises(Incorrect):
        cell_of(tmp_path / "gradient.py", returned, seq_len=64, mode="training")


@pytest.mark.parametrize("mode", ["forward", "training"])
def test_a_mechanism_that_needs_the_hidden_states_is_given_them(tmp_path: Path, mode: str) -> None:
    file = tmp_path / "hiding.py"
    text = SEEING.format(returned="v + hidden.unflatten(-1, (v.shape[1], -1)).transpose(1, 2)")
    text = text.replace("padding_mask=None):", "padding_mask=None, *, hidden):").replace(
        "VARIANT = Variant(", "VARIANT = Variant(needs_hidden=True, "
    )
    file.write_text(text)
    measured = measure_cell(make_spec(variant="hiding", seq_len=64, mode=mode), str(file), None, lambda _: None)
    assert measured.samples[f"{mode}_s"]
    assert "error" not in measured.samples  # a matrix of q and k alone does not define it


def test_a_call_that_frees_older_memory_is_a_fault() -> None:
    held: list[torch.Tensor] = []
    measure.peak_memory_bytes(lambda _: held.append(torch.ones(10_000)), "cpu")  # the profiler knows only what it saw made
    with pytest.raises(RuntimeError, match="freed memory that was allocated before"):
        measure.peak_memory_bytes(lambda _: held.clear(), "cpu")


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
