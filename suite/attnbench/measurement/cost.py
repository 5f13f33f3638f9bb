"""Measures what a call costs: time beside the anchors' times, memory, FLOPs, and its kernels' time, each in a pass of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from time import perf_counter

from attnbench.errors import is_out_of_memory
from attnbench.measurement import flops, memory
from attnbench.measurement.cell_result import Measurement, Stage
from attnbench.measurement.clock import ANCHOR_PATIENCE_S, WARMUP_S, Call, seconds, take_turns, warm_up
from attnbench.measurement.device import named
from attnbench.measurement.drift_anchor import drift_anchor, drift_samples
from attnbench.measurement.guard import Guard
from attnbench.measurement.kernel_clock import KernelTimes, NotTimed, kernel_times
from attnbench.measurement.timed import Trial, VerifiedTrial
from attnbench.store.facts import TIMING


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
    result = Measurement(facts={"timing": TIMING})
    _first_call(subject, device, result)
    anchor = _warm_anchor(lambda: make_anchor(seconds(drift, device)), device, guard)
    stage("time")
    _time(subject, anchor, drift, mode, device, result)
    stage("memory")
    subject.prepare()
    result.samples["peak_memory_bytes"] = [memory.peak_memory_bytes(trial.call, device)]
    stage("flops")
    subject.prepare()
    _count(trial.call, mode, result)
    stage("verify")
    verified = subject.verify()
    result.samples |= verified.samples
    result.facts |= verified.facts
    kernels = named(device).kernels
    if kernels is not None:
        stage("kernels")  # last, for what is captured in a graph may be left without values
        _time_kernels(kernel_times(lambda: VerifiedTrial(trial, guard), mode, device, kernels), mode, result)
    guard.check_seal()
    return result


def _first_call(subject: VerifiedTrial, device: str, result: Measurement) -> None:
    """Measure the very first call, in which kernels are compiled and tuned: its seconds, and the growth of the process. Then warm up."""
    subject.prepare()
    watch = memory.ResidentPeak()
    took = seconds(subject.trial.call, device)
    resident = watch.bytes()
    if resident is not None:
        result.samples["peak_rss_bytes"] = [resident]
    result.samples["first_call_s"] = [took]
    result.clocks["first_call_s"] = "wall"
    _warm(subject.call, took, device)


def _warm(call: Call, first_s: float, device: str) -> None:
    """Warm a call up whose first took first_s; where that is long, the rounds that are thrown away are enough."""
    if first_s < WARMUP_S:
        warm_up(call, device)


def _warm_anchor(make: Callable[[], Trial | None], device: str, guard: Guard) -> VerifiedTrial | None:
    """The anchor, warm; None where it takes too long or runs out of memory, which says nothing against the subject."""
    try:
        trial = make()
        if trial is None:
            return None
        anchor = VerifiedTrial(trial, guard)
        took = seconds(anchor.call, device)
        if took > ANCHOR_PATIENCE_S:
            return None
        _warm(anchor.call, took, device)
    except Exception as error:
        if is_out_of_memory(error):
            return None
        raise
    return anchor


def _time(subject: VerifiedTrial, anchor: VerifiedTrial | None, drift: Call, mode: str, device: str, result: Measurement) -> None:
    """The subject's samples by the mode's name, the anchor's beside them, and the ratio of each round."""
    began = perf_counter()
    drift_s = drift_samples(drift, device)
    turns = {"subject": subject.turn()}
    if anchor is not None:
        turns["anchor"] = dataclasses.replace(anchor.turn(), inspect=lambda _: None)
    samples = take_turns(turns, device)
    drift_s += drift_samples(drift, device)
    subject.guard.check_idle()
    result.timed_s = perf_counter() - began
    result.samples |= {"drift_anchor_s": drift_s, f"{mode}_s": samples["subject"].wall_s}
    if "anchor" in samples:
        pairs = zip(samples["subject"].wall_s, samples["anchor"].wall_s, strict=True)
        result.samples["anchor_s"] = samples["anchor"].wall_s
        result.samples["anchor_ratio"] = [float(f"{one / other:.7g}") for one, other in pairs]
    result.clocks |= {name: "wall" for name in (f"{mode}_s", "drift_anchor_s", "anchor_s") if name in result.samples}


def _count(call: Call, mode: str, result: Measurement) -> None:
    """The floating-point operations that ran, and those that the computation needs; or why they cannot be counted."""
    try:
        counted = flops.count(call)
    except flops.Uncountable as why:
        result.facts["flops_not_counted"] = str(why)
        return
    result.samples["flops"] = [counted.executed]
    result.samples["algorithmic_flops"] = [counted.algorithmic(mode)]


def _time_kernels(found: KernelTimes | NotTimed, mode: str, result: Measurement) -> None:
    """The seconds of the GPU's kernels and how they were told, or why they are not known."""
    if isinstance(found, NotTimed):
        result.facts["kernels_not_timed"] = found.why
        return
    result.samples[f"{mode}_kernel_s"] = found.seconds
    result.clocks[f"{mode}_kernel_s"] = "device"
    result.facts["kernel_clock"] = found.clock
