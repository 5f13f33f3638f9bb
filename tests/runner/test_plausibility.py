"""What the parent asks of a cell's numbers: the clock agrees with its own, and the time is possible on this machine."""

from __future__ import annotations

import dataclasses

import pytest

from attnbench.measurement.cell_result import Measurement
from attnbench.runner.plausibility import clocks_disagree, moved_bytes, needed_flops, too_fast
from attnbench.store.peaks import SLACK, Peaks, floor_s
from helpers.records import make_spec

# 1 TFLOP/s in float32, 2 in bfloat16; 100 GB/s in cache, 10 GB/s from memory.
PEAKS = Peaks(
    device="cpu",
    device_name="a processor",
    threads=2,
    torch="2.13.0",
    flops_per_s={"float32": 1e12, "bfloat16": 2e12},
    bandwidth=((2**20, 1e11), (2**30, 1e10)),
    anchor_s=(0.005,),
    measured_at="2026-11-22T00:00:00Z",
)


@pytest.mark.parametrize(
    ("by_the_cell", "by_us", "believed"),
    [
        (1.0, 1.0, True),
        (1.0, 1.1, True),  # a message may take its time on a busy machine
        (0.02, 0.06, True),
        (20.0, 21.5, True),
        (0.01, 1.0, False),  # a clock that was slowed down
        (0.002, 0.13, False),
        (1.0, 1.3, False),
        (20.0, 23.0, False),
        (2.0, 1.0, False),  # or hastened, which makes the anchors slow
        (None, 1.0, True),  # training has no such stage
    ],
)
def test_a_clock_that_differs_from_the_parents_is_not_believed(by_the_cell: float | None, by_us: float, believed: bool) -> None:
    why = clocks_disagree(Measurement(timed_s=by_the_cell), by_us)
    assert (why is None) == believed


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ({"mode": "forward"}, 4 * 1024 * 256 * 4),
        ({"mode": "training"}, 8 * 1024 * 256 * 4),
        ({"mode": "forward", "dtype": "bfloat16", "batch_size": 3}, 3 * 4 * 1024 * 256 * 2),
        ({"mode": "decode", "causal": True}, 4 * 256 * 4 + 500_000),
        ({"mode": "decode", "causal": True, "num_kv_heads": 1}, (2 * 256 + 2 * 64) * 4 + 500_000),
        ({"mode": "training", "num_kv_heads": 2}, 2 * (2 * 256 + 2 * 128) * 1024 * 4),
        ({"mode": "prefill", "causal": True}, 4 * 1024 * 256 * 4),
        ({"mode": "forward", "batch_size": 3, "padded": 0.25}, 4 * (1024 + 768 + 512) * 256 * 4),
    ],
)
def test_bytes_that_must_be_moved(axes: dict[str, object], expected: float) -> None:
    measured = Measurement({"state_bytes": [1e6]})
    assert moved_bytes(make_spec(seq_len=1024, **axes), measured) == expected
    assert moved_bytes(make_spec(seq_len=1024, **axes), measured, reads_qk=False) < expected  # a control reads the values alone


@pytest.mark.parametrize(
    ("flops", "floor"),
    [
        (1e10, 1e10 / 1e12),  # against the cell's own dtype
        (1.0, 4 * 1024 * 256 * 4 / 8.2e10),  # memory binds; 4 MiB lie between the two bandwidths
    ],
)
def test_a_time_below_the_roofline_is_impossible(flops: float, floor: float) -> None:
    def judged(seconds: float) -> tuple[str | None, Measurement]:
        measured = Measurement({"forward_s": [seconds] * 9 + [1e-12], "flops": [flops]})  # one sample alone condemns nobody
        return too_fast(make_spec(seq_len=1024), measured, PEAKS), measured

    why, measured = judged(1.01 * SLACK * floor)
    assert why is None
    assert measured.samples["roofline_fraction"][0] > 0
    why, measured = judged(0.9 * SLACK * floor)
    assert "below the roofline" in (why or "")
    assert "doctor --peaks" in (why or "")
    assert "roofline_fraction" not in measured.samples


def test_the_fraction_is_of_the_cells_own_dtype() -> None:
    measured = Measurement({"forward_s": [0.1], "flops": [5e10]})
    assert too_fast(make_spec(seq_len=1024), measured, PEAKS) is None
    assert measured.samples["roofline_fraction"] == pytest.approx([0.5])
    unknown = Measurement({"forward_s": [0.1], "flops": [5e10]})
    assert too_fast(make_spec(seq_len=1024, dtype="float64"), unknown, PEAKS) is None
    assert "roofline_fraction" not in unknown.samples


def test_a_dtype_that_several_products_of_a_faster_one_replace_has_the_floor_of_those() -> None:
    fast = dataclasses.replace(PEAKS, flops_per_s={"float32": 1e12, "bfloat16": 6e12})
    for dtype, rate in (("float32", 2e12), ("bfloat16", 6e12), ("float64", 6e12)):  # of float64 no peak is known
        assert floor_s(fast, dtype, 1e13, 0.0) == 1e13 / rate


@pytest.mark.parametrize(
    ("axes", "exponent", "flops"),
    [
        ({}, 2.0, 2 * 256 * 1024**2),
        ({"mode": "training"}, 2.0, 6 * 256 * 1024**2),
        ({"causal": True}, 2.0, 256 * 1024 * 1025),
        ({"num_kv_heads": 1}, 2.0, 2 * 256 * 1024**2),  # every head of queries looks at every pair
        ({"batch_size": 2, "padded": 0.25}, 2.0, 2 * 256 * (1024**2 + 512**2)),
        ({}, 1.0, 0.0),
        ({"mode": "decode", "causal": True}, 2.0, 0.0),
    ],
)
def test_uncounted_work_is_at_least_a_product_for_every_pair(axes: dict[str, object], exponent: float, flops: float) -> None:
    """A mechanism that declares quadratic time looks at each; that its FLOPs could not be counted frees it of nothing."""
    spec = make_spec(seq_len=1024, **axes)
    for samples in ({}, {"flops": [0.0]}):
        assert needed_flops(spec, Measurement(dict(samples)), exponent) == flops
    assert needed_flops(spec, Measurement({"flops": [7.0]}), exponent) == 7.0


@pytest.mark.parametrize(("exponent", "floor"), [(2.0, 2 * 256 * 16384**2 / 1e12), (1.0, 4 * 16384 * 256 * 4 / 4.7e10)])
def test_a_time_without_flops_has_a_floor_all_the_same(exponent: float, floor: float) -> None:
    """For long the time of such a cell was believed whatever it was."""
    spec = make_spec(seq_len=16384)
    assert "below the roofline" in (too_fast(spec, Measurement({"forward_s": [0.7 * floor]}), PEAKS, exponent) or "")
    measured = Measurement({"forward_s": [1.1 * floor]})
    assert too_fast(spec, measured, PEAKS, exponent) is None
    assert measured.samples.keys() == {"forward_s"}


def test_recomputation_is_no_work() -> None:
    measured = Measurement({"training_s": [0.1], "flops": [6e10], "algorithmic_flops": [4e10]})
    assert too_fast(make_spec(seq_len=1024, mode="training"), measured, PEAKS) is None
    assert (measured.samples["mfu"], measured.samples["roofline_fraction"]) == (pytest.approx([0.4]), pytest.approx([0.6]))


def test_training_has_no_floor() -> None:
    spec = make_spec(track="task", task="mnist", block="residual", num_layers=1, epochs=1, lr=1e-3, mode="training", seq_len=None)
    assert too_fast(spec, Measurement({"train_s": [1e-9]}), PEAKS) is None
