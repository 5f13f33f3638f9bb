"""Measures what a call costs: its time beside the anchors' times, its peak memory and its FLOPs, each in a pass of its own."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from attnbench.errors import is_out_of_memory
from attnbench.measurement import flops, memory
from attnbench.measurement.cell_result import Measurement, Stage
from attnbench.measurement.clock import Samples, Turn, seconds, take_turns, warm_up
from attnbench.measurement.drift_anchor import drift_anchor
from attnbench.measurement.guard import Guard
from attnbench.measurement.timed import Trial, VerifiedTrial

DRIFT_CALLS = 3  # of the drift anchor, before the turns and after them, or before training and after each epoch
ANCHOR_PATIENCE_S = 2.0  # an anchor's call that takes longer is not interleaved; the session's softmax cell serves instead


def cost(trial: Trial, mode: str, make_anchor: Callable[[float], Trial | None], device: str, guard: Guard, stage: Stage) -> Measurement:
    """Samples of a trial, in turn with its anchor, softmax of the same shape and mode; and of the drift anchor, before and after.

    The drift anchor is not timed in turn with them: its keys and values would push those of a short call out of the caches, which made
    softmax at 256 15 % slower than by itself.

    make_anchor: called with the seconds of a call of the drift anchor; gives None where softmax would take too long.

    Raises Incorrect when the timed calls fail the verification.
    """
    stage("warm up")
    drift = drift_anchor(device)
    warm_up(drift, device)
    subject = VerifiedTrial(trial, guard)
    result = Measurement()
    _first_call(subject, device, result)
    warm_up(subject.call, device)
    anchor = _warm_anchor(lambda: make_anchor(seconds(drift, device)), device, guard)
    stage("time")
    began = perf_counter()
    drift_s = [seconds(drift, device) for _ in range(DRIFT_CALLS)]
    turns = {"subject": subject.turn()}
    if anchor is not None:
        turns["anchor"] = Turn(anchor.trial.call, anchor.prepare, settle=anchor.trial.settle)
    samples = take_turns(turns, device)
    drift_s += [seconds(drift, device) for _ in range(DRIFT_CALLS)]
    result.timed_s = perf_counter() - began
    guard.check_idle()
    result.samples["drift_anchor_s"] = drift_s
    _add_times(result, mode, samples)
    stage("memory")
    subject.prepare()
    result.samples["peak_memory_bytes"] = [memory.peak_memory_bytes(trial.call, device)]
    stage("flops")
    subject.prepare()
    try:
        result.samples["flops"] = [flops.flops(trial.call)]
    except flops.Uncountable as why:
        result.facts["flops_not_counted"] = str(why)
    stage("verify")
    verified = subject.verify()
    result.samples |= verified.samples
    result.facts |= verified.facts
    guard.check_seal()
    return result


def _first_call(subject: VerifiedTrial, device: str, result: Measurement) -> None:
    """Measure the very first call, in which kernels are compiled and tuned: its seconds, and by how much the process grows."""
    subject.prepare()
    watch = memory.ResidentPeak()
    result.samples["first_call_s"] = [seconds(subject.trial.call, device)]
    result.clocks["first_call_s"] = "wall"
    resident = watch.bytes()
    if resident is not None:
        result.samples["peak_rss_bytes"] = [resident]


def _warm_anchor(make: Callable[[], Trial | None], device: str, guard: Guard) -> VerifiedTrial | None:
    """The anchor, warm; None where it takes too long or runs out of memory, which says nothing against the subject."""
    try:
        trial = make()
        if trial is None:
            return None
        anchor = VerifiedTrial(trial, guard)
        if seconds(anchor.call, device) > ANCHOR_PATIENCE_S:
            return None
        warm_up(anchor.call, device)
    except Exception as error:
        if is_out_of_memory(error):
            return None
        raise
    return anchor


def _add_times(result: Measurement, mode: str, samples: dict[str, Samples]) -> None:
    """The subject's samples by the mode's name, the anchor's beside them, and the ratio of each round."""
    subject = samples["subject"]
    result.samples[f"{mode}_s"] = subject.wall_s
    if "anchor" in samples:
        anchor = samples["anchor"].wall_s
        result.samples["anchor_s"] = anchor
        result.samples["anchor_ratio"] = [float(f"{one / other:.7g}") for one, other in zip(subject.wall_s, anchor, strict=True)]
    result.clocks |= {name: "wall" for name in (f"{mode}_s", "drift_anchor_s", "anchor_s") if name in result.samples}
    if subject.device_s:
        result.samples[f"{mode}_device_s"] = subject.device_s
        result.clocks[f"{mode}_device_s"] = "device"
