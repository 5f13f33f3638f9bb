"""Times calls that take turns by the wall clock; gives raw samples, and stores and derives nothing.

The timed call stands alone: inputs, warm-up and checks lie outside the window, and the device is synchronised on both sides. Calls that are
to be compared alternate in one process, in an order drawn anew each round, for machines drift by tens of percent.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter  # bound before any mechanism is imported, so that one which patches the module `time` changes nothing here

import torch

from attnbench.errors import AttnbenchError

Call = Callable[[int], object]  # called with the number of the iteration

WARMUP_CALLS, WARMUP_S = 3, 0.3
L2_FLUSHES = 2  # times the size of the L2 cache that is written before a call on CUDA


class ClockError(AttnbenchError):
    """A clock that did not advance during a call: no time it gives can be believed."""


@dataclass(frozen=True)
class Turn:
    """A call that is timed in turn with others. prepare makes its inputs and inspect takes its result, both outside the timed window."""

    call: Call
    prepare: Callable[[], object] = lambda: None
    inspect: Callable[[object], object] = lambda result: None
    settle: Callable[[], object] | None = None


@dataclass(frozen=True)
class StoppingRule:
    """When to stop timing: after `many` rounds once all calls together took many_s, after `fair` rounds once
    they took fair_s, after `few` rounds once they took few_s, and after `most` rounds.

    Eight samples are the fewest that give their median a 99 % interval. Many more would make the interval narrower than the difference
    of two processes, which the samples of one cannot show.
    """

    many: int = 20
    many_s: float = 0.4
    fair: int = 8
    fair_s: float = 1.5
    few: int = 3
    few_s: float = 5.0
    most: int = 64

    def is_over(self, rounds: int, spent_s: float) -> bool:
        pairs = ((self.many, self.many_s), (self.fair, self.fair_s), (self.few, self.few_s))
        return rounds >= self.most or any(rounds >= enough and spent_s >= enough_s for enough, enough_s in pairs)


@dataclass
class Samples:
    """Seconds of every call, in order. wall_s: what a user waits for, synchronised; device_s: between two CUDA events, empty on the CPU."""

    wall_s: list[float] = field(default_factory=list)
    device_s: list[float] = field(default_factory=list)


def synchronise(device: str) -> None:
    """Wait until the device has done everything that was asked of it, on every stream."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(call: Call, device: str) -> float:
    """The seconds that one call takes."""
    synchronise(device)
    started = perf_counter()
    result = call(0)
    synchronise(device)
    took = perf_counter() - started
    del result  # freed outside the window
    return took


def warm_up(call: Call, device: str) -> None:
    """Make three calls, or fewer once 0.3 s are over."""
    started = perf_counter()
    for i in range(WARMUP_CALLS):
        call(i)
        synchronise(device)
        if perf_counter() - started > WARMUP_S:
            return


def wall_clock_s(call: Call, device: str, stopping: StoppingRule | None = None) -> list[float]:
    """Seconds of every timed call, in order; the call must be warm."""
    return take_turns({"call": Turn(call)}, device, stopping)["call"].wall_s


def take_turns(
    turns: Mapping[str, Turn], device: str, stopping: StoppingRule | None = None, clock: Callable[[], float] = perf_counter
) -> dict[str, Samples]:
    """Time warm calls in rounds, each once a round, in an order drawn anew, so that a disturbance affects all of them.

    Sample i of every call is of round i, so that ratios of samples are ratios of neighbours in time. Python's garbage collector
    is off meanwhile.

    Raises ClockError when the clock does not advance during a call.
    """
    stopping = stopping or StoppingRule()
    draw = random.SystemRandom()  # its own: neither the mechanism nor the global seed decides who comes first
    samples = {name: Samples() for name in turns}
    flush = _l2_flush(device)
    order = list(turns)
    was_collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        rounds, spent_s = 0, 0.0
        while not stopping.is_over(rounds, spent_s):
            draw.shuffle(order)
            for name in order:
                _take_turn(turns[name], rounds, device, flush, clock, samples[name])
            rounds += 1
            spent_s += sum(of_one.wall_s[-1] for of_one in samples.values())
    finally:
        if was_collecting:
            gc.enable()
    return samples


def _take_turn(turn: Turn, number: int, device: str, flush: Callable[[], object], clock: Callable[[], float], samples: Samples) -> None:
    if turn.settle is not None:
        turn.settle()
    turn.prepare()
    flush()
    synchronise(device)
    events = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if device == "cuda" else []
    for event in events[:1]:
        event.record()
    started = clock()
    result = turn.call(number)
    for event in events[1:]:
        event.record()
    synchronise(device)
    took = clock() - started
    if not took > 1e-9:
        raise ClockError(f"the clock advanced by {took:g} s during a call; no time measured with it can be believed")
    samples.wall_s.append(round(took, 9))  # the clock counts nanoseconds; more digits are noise of the subtraction
    if events:
        samples.device_s.append(events[0].elapsed_time(events[1]) / 1e3)
    turn.inspect(result)


def _l2_flush(device: str) -> Callable[[], object]:
    """A function that empties the L2 cache of a GPU, where a call would otherwise find the inputs that were just copied."""
    if device != "cuda":
        return lambda: None
    size = L2_FLUSHES * torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size
    return torch.empty(size, dtype=torch.int8, device=device).zero_
