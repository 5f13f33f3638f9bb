"""What the parent asks of a cell's numbers: the clock agrees with its own, and the time is possible on this machine."""

from __future__ import annotations

import pytest

from attnbench.measurement.cell_result import Measurement
from attnbench.runner.plausibility import clocks_disagree, moved_bytes, too_fast
from attnbench.store.peaks import SLACK, Peaks
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
    ],
)
def test_bytes_that_must_be_moved(axes: dict[str, object], expected: float) -> None:
    measured = Measurement({"state_bytes": [1e6]})
    assert moved_bytes(make_spec(seq_len=1024, **axes), measured) == expected


@pytest.mark.parametrize(
    ("flops", "floor"),
    [
        (1e10, 1e10 / 2e12),  # against the fastest dtype, which a mechanism may use inside
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


def test_training_has_no_floor() -> None:
    spec = make_spec(track="task", task="mnist", block="residual", num_layers=1, epochs=1, lr=1e-3, mode="training", seq_len=None)
    assert too_fast(spec, Measurement({"train_s": [1e-9]}), PEAKS) is None
