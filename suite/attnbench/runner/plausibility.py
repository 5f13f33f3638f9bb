"""Checks the numbers that came from a cell's process: its clock must agree with the parent's, and the machine must be that fast."""

from __future__ import annotations

from statistics import median

from attnbench.measurement.cell_result import Measurement
from attnbench.spec.axes import Spec
from attnbench.store.peaks import SLACK, Peaks, floor_s, roofline_fraction

CLOCKS_DIFFER, CLOCKS_DIFFER_S = 0.1, 0.05  # share, and seconds for the way of a message between two processes
ITEMSIZE = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


def clocks_disagree(measured: Measurement, by_our_clock_s: float) -> str | None:
    """Why the cell's clock cannot be believed; None if it can. A mechanism can alter the clock of its own process, not its parent's."""
    if measured.timed_s is None:
        return None
    difference = abs(measured.timed_s - by_our_clock_s)
    if difference <= CLOCKS_DIFFER * by_our_clock_s + CLOCKS_DIFFER_S:
        return None
    return f"timing took {by_our_clock_s:.2f} s by the parent's clock and {measured.timed_s:.2f} s by the cell's own"


def moved_bytes(spec: Spec, measured: Measurement) -> float:
    """Bytes that every algorithm must move.

    kernel: q, k, v in and the output out, as many again for gradients; in decode half of the state, whose buffers may be up to twice as
    long as what they hold. depth: none are claimed, for a stack's parameters may stay in a cache.
    """
    if spec.track != "kernel" or spec.seq_len is None:
        return 0.0
    token = 4 * spec.batch_size * spec.d_model * ITEMSIZE[spec.dtype]
    if spec.mode == "decode":
        return token + measured.samples["state_bytes"][0] / 2
    return float(token * spec.seq_len * (2 if spec.mode == "training" else 1))


def too_fast(spec: Spec, measured: Measurement, peaks: Peaks) -> str | None:
    """Why the time is impossible on this machine; None if it is possible. Adds the achieved fraction of the roofline to the samples."""
    times = measured.samples.get(f"{spec.mode}_s")
    flops = measured.samples.get("flops")
    if spec.track == "task" or not times or not flops:
        return None
    moved, seconds = moved_bytes(spec, measured), median(times)
    floor = floor_s(peaks, flops[0], moved)
    if seconds < SLACK * floor:
        return (
            f"the median time of {seconds:.3g} s is below the roofline: {flops[0]:.3g} FLOP and {moved:.3g} bytes take this machine "
            f"at least {floor:.3g} s; the work was not done, or the machine's peaks are out of date (attnbench doctor --peaks)"
        )
    fraction = roofline_fraction(peaks, spec.dtype, flops[0], moved, seconds)
    if fraction is not None:
        measured.samples["roofline_fraction"] = [fraction]
    return None
