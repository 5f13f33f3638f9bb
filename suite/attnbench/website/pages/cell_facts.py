"""What a reader of one cell may want to judge its numbers by: the anchor, drift, load, verification, code and memory."""

from __future__ import annotations

from statistics import median

from attnbench.analysis.drift import not_judged
from attnbench.analysis.labels import clip
from attnbench.analysis.number_format import count, ratio, seconds, size
from attnbench.analysis.own_softmax import anchor_distance
from attnbench.analysis.samples import positive, values
from attnbench.analysis.unverified import FACT as NOT_COMPARED
from attnbench.analysis.unverified import unverified_record
from attnbench.store.disturbed import disturbance
from attnbench.store.record import Record

Fact = tuple[str, str]  # a name and what is told of it; "" where nothing is known


def trust_facts(record: Record, base_s: float | None) -> list[Fact]:
    """The facts by which a cell's numbers can be judged; those that are not known are left out.

    base_s: softmax's own time in the cell's setting and session, median over its processes; None where it was not measured there.
    """
    found = (
        ("anchor", _anchor(record, base_s)), ("drift", _drift(record)), ("others used", _load(record)),
        ("verified", _not_compared(record) or _verified(record)),
        ("code", _text(record, "implementation")), ("softmax by", _text(record, "softmax_backend")),
        ("kernels by", _text(record, "kernel_clock")),
        ("timing", _text(record, "timing")), ("process memory", _beyond(record)),
    )  # fmt: skip
    return [(name, told) for name, told in found if told]


def _anchor(record: Record, base_s: float | None) -> str:
    """How far softmax, timed in turn with the cell, lay from its own time in cells of its own."""
    if (found := anchor_distance(record, base_s)) is None:
        return ""
    beside_s, distance = found
    if base_s is None or distance is None:
        return f"softmax took {seconds(beside_s)} beside it; its own cell of this session is missing"
    return f"softmax took {seconds(beside_s)} beside it, {ratio(distance)} its own time of {seconds(base_s)}"


def _drift(record: Record) -> str:
    """The drift anchor after the cell over that before it: the first half of its samples was taken before, the second after."""
    samples = values(record, "drift_anchor_s")
    if len(samples) < 2 or min(samples) <= 0:
        return ""
    half = len(samples) // 2
    before, after = median(samples[:half]), median(samples[-half:])
    told = f"the drift anchor took {seconds(before)} before and {seconds(after)} after, {ratio(after / before)}"
    return "; ".join(filter(None, (told, not_judged(median(samples)))))


def _load(record: Record) -> str:
    """What others used of the processors while the cell was timed, and whether that is too much."""
    e = record.environment
    other, steal, switches = (_number(e.get(name)) for name in ("other_load", "steal", "involuntary_switches"))
    told = [
        "" if other is None else f"{other:.2g} of a core" if other <= 1 else f"{other:.2g} cores",
        "" if steal is None else f"{steal:.2g} of a core stolen by the hypervisor",
        "" if switches is None else f"{count(switches)} involuntary switches",
        f"too much: {why}" if (why := disturbance(record)) else "",
        "measured on a busy machine on purpose" if e.get("busy_allowed") is True else "",
    ]
    return "; ".join(filter(None, told))


def _verified(record: Record) -> str:
    """The largest error of what was timed, how close it comes to what is allowed, and how much of it was compared."""
    error, share, rows = (_first(record, name) for name in ("error", "error_share", "verified_rows"))
    if error is None:
        return ""
    told, worst = f"relative error {error:.2g}", _first(record, "row_error")
    told += f", of the worst row {worst:.2g}" if worst is not None else ""
    told += f"; at most {share:.0%} of what is allowed" if share is not None else ""
    return told + (f"; {count(rows)} rows compared" if rows else "")


def _not_compared(record: Record) -> str:
    """Why the output was compared with nothing."""
    said = _text(record, NOT_COMPARED)
    return f"not compared with its definition: {said}{'; so it has no rank' if unverified_record(record) else ''}" if said else ""


def _beyond(record: Record) -> str:
    """By how much the process grew over what torch's allocator says."""
    counted, grown = positive(record, "peak_memory_bytes"), positive(record, "peak_rss_bytes")
    if counted is None or grown is None or grown.value <= counted.value:
        return ""
    return f"the process grew by {size(grown.value)}, {size(grown.value - counted.value)} more than torch’s allocator counted"


def _text(record: Record, name: str) -> str:
    value = record.environment.get(name)
    return clip(value, 200) if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15 else None


def _first(record: Record, metric: str) -> float | None:
    return next(iter(values(record, metric)), None)
