"""The peak rates of a machine (FLOP/s and bytes/s), and the least time that a call can take by them: the roofline model.

Source: Williams, Waterman and Patterson 2009, doi 10.1145/1498765.1498785.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from attnbench.errors import AttnbenchError, BadInput
from attnbench.spec.axis_values import DEVICES
from attnbench.store import environment
from attnbench.store.facts import Name, Positive, Text, Whole
from attnbench.store.files import write_whole

# A time counts as impossible only below SLACK times its floor. A peak is the best of many tries, so noise can only make it too low, and the
# floor too high. In nine runs on an idle machine of two cores the lowest was 0.81 of the highest in bfloat16, 0.86 to 0.90 in the other
# dtypes and from memory. While other programs keep every core busy a peak falls to a half, which no slack covers: roofline.busy warns.
SLACK = 0.8
# Of the drift anchor, by device: batch_size, num_heads, seq_len, head_dim. On CUDA it takes milliseconds: one of 0.15 ms told more of the
# launch path than of the machine, and called sessions drifting whose long cells agreed within a few percent.
ANCHOR_SHAPES: Mapping[str, tuple[int, int, int, int]] = {"cpu": (1, 4, 1024, 64), "cuda": (4, 16, 4096, 64)}

# How many products of shorter numbers, at the least, make one that is as exact: two of 11 bits hold 22 of float32's 24, and three of their
# four products count (Markidis et al. 2018, arXiv 1803.04014). What a single shorter product gave is refused as inexact.
PRODUCTS_OF_SHORTER = {"float32": 3}


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """The peak rates of a device, measured in one run of runner.roofline.measure_peaks.

    threads:     the number of torch's threads on the CPU, or the share of a processor that a quota allowed. torch: torch's version.
    flops_per_s: of a square matrix product, by dtype; "tensorfloat32" is float32 with that arithmetic allowed, on CUDA.
    bandwidth:   (working_set_bytes, bytes_per_s) of a stream that reads and writes the working set, ascending.
    anchor_s:    wall seconds of every timed call of the drift anchor.
    anchor_shape: of that call, see ANCHOR_SHAPES; peaks that do not say it were measured with the CPU's.
    measured_at: UTC, ISO 8601.

    Raises BadInput when something is missing, not positive or not finite.
    """

    device: str
    device_name: Text
    threads: Whole | Positive
    torch: Text
    flops_per_s: Mapping[Name, Positive]
    bandwidth: tuple[tuple[Whole, Positive], ...]
    anchor_s: tuple[Positive, ...]
    measured_at: Text
    anchor_shape: tuple[int, int, int, int] = ANCHOR_SHAPES["cpu"]

    def __post_init__(self) -> None:
        sets = [working_set for working_set, _ in self.bandwidth]
        if not self.flops_per_s or not sets or any(one >= other for one, other in pairwise(sets)):
            raise BadInput(f"peaks need flops_per_s and bandwidth at ascending working sets; there are {self.flops_per_s} and {sets}")
        numbers = [self.threads, *self.flops_per_s.values(), *sets, *(rate for _, rate in self.bandwidth), *self.anchor_s]
        if self.device not in DEVICES or not all(0 < number < math.inf for number in numbers):
            raise BadInput(f"peaks of device {self.device!r} hold {numbers}; every one must be positive and finite")

    def as_json(self) -> dict[str, Any]:
        """The peaks as plain JSON values; `from_json` reads them."""
        return dataclasses.asdict(self)


def from_json(value: Any) -> Peaks:
    """The peaks from the values that `as_json` gave, whether or not they were written to JSON in between.

    Raises BadInput for anything else.
    """
    try:
        return msgspec.json.decode(msgspec.json.encode(value), type=Peaks)  # half of a surrogate pair is refused in any text
    except (BadInput, ValueError, RecursionError) as error:
        raise BadInput(f"these are no peaks ({error}); attnbench doctor --peaks measures them") from error


def best_of(one: Peaks, other: Peaks) -> Peaks:
    """The larger of each rate in two measurements of a device, because noise only makes rates smaller; all else is from the later one."""
    later = max(one, other, key=lambda peaks: peaks.measured_at)
    rates = [dict(peaks.bandwidth) for peaks in (one, other)]
    return dataclasses.replace(
        later,
        flops_per_s={dtype: max(p.flops_per_s.get(dtype, 0.0) for p in (one, other)) for dtype in {**one.flops_per_s, **other.flops_per_s}},
        bandwidth=tuple((size, max(rate.get(size, 0.0) for rate in rates)) for size in sorted(rates[0].keys() | rates[1].keys())),
    )


def bandwidth_at(peaks: Peaks, working_set_bytes: float) -> float:
    """Bytes per second for a working set: between measured sizes linear in the logarithm of the size, outside them constant.

    A smaller set counts as at least as fast as a larger one, which passes through the same caches. Where it was measured to be slower, the
    time went into starting the operation and not into memory.
    """
    sizes = [size for size, _ in peaks.bandwidth]
    rates = [max(rate for _, rate in peaks.bandwidth[i:]) for i in range(len(sizes))]
    if working_set_bytes <= sizes[0]:
        return rates[0]
    for (smaller, larger), (upper, lower) in zip(pairwise(sizes), pairwise(rates), strict=True):
        if working_set_bytes <= larger:
            way = math.log(working_set_bytes / smaller) / math.log(larger / smaller)
            return upper + way * (lower - upper)
    return rates[-1]


def floor_s(peaks: Peaks, dtype: str, flops: float, moved_bytes: float) -> float:
    """The least seconds in which this machine can do `flops` floating-point operations in a dtype and move `moved_bytes` bytes.

    moved_bytes, the least that must be read and written, are divided by the bandwidth of a working set of that size.
    """
    return max(flops / _highest_flops_per_s(peaks, dtype), moved_bytes / bandwidth_at(peaks, moved_bytes))


def _highest_flops_per_s(peaks: Peaks, dtype: str) -> float:
    """The rate that no product as exact as the dtype's exceeds: its own, or a shorter dtype's where several such products make up one.

    In a dtype whose peak is not known, the fastest one's.
    """
    fastest = max(peaks.flops_per_s.values())
    own = peaks.flops_per_s.get(dtype)
    return fastest if own is None else max(own, fastest / PRODUCTS_OF_SHORTER.get(dtype, math.inf))


def mfu(peaks: Peaks, dtype: str, algorithmic_flops: float, seconds: float) -> float | None:
    """The share of the machine's FLOP/s in this dtype that a call used, counting no work twice; None where that peak is not known."""
    own = peaks.flops_per_s.get(dtype)
    return None if own is None else algorithmic_flops / seconds / own


def roofline_fraction(peaks: Peaks, dtype: str, flops: float, moved_bytes: float, seconds: float) -> float | None:
    """The share of the machine's peak in this dtype that a call achieved: the larger of its shares of FLOP/s and of bandwidth.

    dtype: torch's name, without "torch.". None when no peak of that dtype was measured.
    """
    if dtype not in peaks.flops_per_s:
        return None
    return max(flops / peaks.flops_per_s[dtype], moved_bytes / bandwidth_at(peaks, moved_bytes)) / seconds


SCHEMA = 1


def known_peaks(results: Path, machine: str, device: str, threads: float, gpu: str | None = None) -> Peaks | None:
    """The stored peaks of a device if they are valid now: same threads, version of torch and drift anchor; else None.

    gpu: the name of the GPU that is used now, of several; peaks of another are not valid. None for any.
    """
    peaks = stored_peaks(results, machine).get(device)
    now = threads, environment.version_of("torch"), ANCHOR_SHAPES[device]
    fits = peaks is not None and (peaks.threads, peaks.torch, peaks.anchor_shape) == now
    return peaks if peaks is not None and fits and gpu in (None, peaks.device_name) else None


def stored_peaks(results: Path, machine: str) -> dict[str, Peaks]:
    """The stored peaks of a machine by device, with any number of threads and version of torch; empty where nothing can be read."""
    try:
        document = json.loads(_file(results, machine).read_bytes())
    except (OSError, ValueError, RecursionError):  # no file, or a damaged one: the peaks are measured again
        return {}
    if not isinstance(document, dict) or document.get("schema") != SCHEMA or not isinstance(document.get("peaks"), dict):
        return {}
    found = {}
    for device, value in document["peaks"].items():
        try:
            peaks = from_json(value)
        except BadInput:  # another format is treated as missing
            continue
        if peaks.device == device:
            found[device] = peaks
    return found


def store_peaks(results: Path, machine: str, peaks: Peaks) -> None:
    """Store the peaks of a device in place of its older ones; those of other devices stay.

    Raises AttnbenchError when the file cannot be written.
    """
    kept: dict[str, Any] = {device: other.as_json() for device, other in stored_peaks(results, machine).items()}
    document = {"schema": SCHEMA, "machine": machine, "peaks": {**kept, peaks.device: peaks.as_json()}}
    file = _file(results, machine)
    try:
        write_whole(file, json.dumps(document, indent=1, allow_nan=False).encode() + b"\n")
    except OSError as error:
        raise AttnbenchError(f"the peaks cannot be stored in {file} ({error.strerror}); make room there, or give --results") from error


def _file(results: Path, machine: str) -> Path:
    return results / "machines" / f"{machine}.json"
