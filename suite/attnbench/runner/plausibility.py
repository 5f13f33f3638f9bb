"""Checks the numbers that came from a cell's process: its clock must agree with the parent's, and the machine must be that fast."""

from __future__ import annotations

from statistics import median

from attnbench.measurement.cell_result import Measurement
from attnbench.spec.axes import Spec
from attnbench.store.peaks import SLACK, Peaks, floor_s, mfu, roofline_fraction

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


def moved_bytes(spec: Spec, measured: Measurement, reads_qk: bool = True) -> float:
    """Bytes that every algorithm must move.

    kernel: q, k, v in and the output out, of tokens that are no padding, and as many again for gradients; in decode half of the state,
    whose buffers may be up to twice as long as what they hold. A mechanism that reads no q and k moves v and the output. depth: none are
    claimed, for a stack's parameters may stay in a cache.
    """
    if spec.track != "kernel" or spec.seq_len is None:
        return 0.0
    token = (2 if reads_qk else 1) * (spec.num_heads + spec.kv_heads) * spec.head_dim * ITEMSIZE[spec.dtype]
    if spec.mode == "decode":
        return token * spec.batch_size + measured.samples["state_bytes"][0] / 2
    return float(token * sum(spec.lengths()) * (2 if spec.mode == "training" else 1))


def needed_flops(spec: Spec, measured: Measurement, time_exponent: float) -> float:
    """FLOPs that the call must have done: those that were counted.

    Where none were, a kernel cell of a mechanism that declares quadratic time has looked at every pair of tokens: at the least a product
    of head_dim numbers for each in a forward pass, and twice as many more in a backward pass. Of any other nothing is known.
    """
    counted = measured.samples.get("flops", [0.0])[0]
    if counted > 0 or spec.track != "kernel" or time_exponent < 2 or spec.mode == "decode":
        return counted
    pairs = sum(length * (length + 1) / 2 if spec.causal else length**2 for length in spec.lengths())
    return 2.0 * spec.d_model * pairs * (3 if spec.mode == "training" else 1)


def too_fast(spec: Spec, measured: Measurement, peaks: Peaks, time_exponent: float = 0.0, reads_qk: bool = True) -> str | None:
    """Why the time is impossible on this machine; None if it is possible. Adds the shares of the machine's peaks to the samples.

    time_exponent: what the mechanism declares, for a call whose FLOPs could not be counted, or of which no operator told any. reads_qk:
    see Variant.
    """
    times = measured.samples.get(f"{spec.mode}_s")
    if not spec.is_timed or not times:
        return None
    flops, moved, seconds = needed_flops(spec, measured, time_exponent), moved_bytes(spec, measured, reads_qk), median(times)
    floor = floor_s(peaks, spec.dtype, flops, moved)
    if seconds < SLACK * floor:
        return (
            f"the median time of {seconds:.3g} s is below the roofline: {flops:.3g} FLOP and {moved:.3g} bytes take this machine "
            f"at least {floor:.3g} s; the work was not done, or the machine's peaks are out of date (attnbench doctor --peaks)"
        )
    _add_shares(spec, measured, peaks, moved, seconds)
    return None


def _add_shares(spec: Spec, measured: Measurement, peaks: Peaks, moved: float, seconds: float) -> None:
    """Add roofline_fraction, by the FLOPs that ran, and mfu, by those of the algorithm: what is computed twice is work once."""
    counted, algorithmic = (measured.samples.get(name) for name in ("flops", "algorithmic_flops"))
    fraction = roofline_fraction(peaks, spec.dtype, counted[0], moved, seconds) if counted else None
    used = mfu(peaks, spec.dtype, algorithmic[0], seconds) if algorithmic else None
    shares = {"roofline_fraction": fraction, "mfu": used}
    measured.samples |= {name: [share] for name, share in shares.items() if share is not None}
