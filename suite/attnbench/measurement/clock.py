"""Times calls that take turns by the wall clock; gives raw samples, and stores and derives nothing.

The timed call stands alone: inputs, warm-up and checks lie outside the window, and the device is synchronised on both sides. Calls that are
to be compared alternate in one process, for machines drift by tens of percent, and each timed call is preceded by one of its own kind that
is not timed, for it would find the caches, the allocator and the launch path as its neighbour left them:

    round 1   A' A  S' S        a prime: not timed, on other inputs of the same shape
    round 2   S' S  A' A        the order is drawn anew each round
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter  # bound before any mechanism is imported, so that one which patches the module `time` changes nothing here

from attnbench.errors import AttnbenchError
from attnbench.measurement.device import named

Call = Callable[[int], object]  # called with the number of the iteration

WARMUP_CALLS, WARMUP_S = 3, 0.3
ANCHOR_PATIENCE_S = 4.0  # an anchor's call that takes longer is not interleaved; the session's softmax cell serves instead
WARM_ROUNDS = 2  # that are thrown away
# Of calls that do not count, before one that does: at least one. After one alone a step of decode at 256 tokens took 1.16 times as long
# beside a neighbour that fills the caches as beside one that idles. After 2 ms of them, clocks and all, a call of training that takes 2 ms
# itself, and so settled by one, still took 1.01 to 1.14 times as long; after 8 ms of them 1.01 to 1.02 in two runs of seven pairs, and
# in one of nine 1.007 for one mechanism and 1.139 for the other, whose pairs lay between 0.93 and 1.49 (tools/disturbance.py).
SETTLE_S = 8e-3


class ClockError(AttnbenchError):
    """A clock that did not advance during a call: no time it gives can be believed."""


@dataclass(frozen=True)
class Turn:
    """A call that is timed in turn with others.

    prepare makes its inputs and inspect takes its result, both outside the timed window. settles: whether calls of its own kind that do
    not count come before, where it has neighbours.
    """

    call: Call
    prepare: Callable[[], object] = lambda: None
    inspect: Callable[[object], object] = lambda result: None
    settles: bool = True


@dataclass(frozen=True)
class StoppingRule:
    """When to stop timing: after `many` rounds once all timed calls together took many_s, after `fair` rounds once
    they took fair_s, after `few` rounds once they took few_s, and after `most` rounds.

    Two processes differ by 1.7 %, whatever the number of samples of each. So one process takes no more than bring the error of its own
    median near that: of calls that are long, and vary little, three.
    """

    many: int = 20
    many_s: float = 0.4
    fair: int = 8
    fair_s: float = 1.0
    few: int = 3
    few_s: float = 2.5
    most: int = 64

    def is_over(self, rounds: int, spent_s: float) -> bool:
        pairs = ((self.many, self.many_s), (self.fair, self.fair_s), (self.few, self.few_s))
        return rounds >= self.most or any(rounds >= enough and spent_s >= enough_s for enough, enough_s in pairs)


@dataclass
class Samples:
    """Wall seconds of every timed call, in order: what a user waits for, the device synchronised."""

    wall_s: list[float] = field(default_factory=list)


def synchronise(device: str) -> None:
    """Wait until the device has done everything that was asked of it, on every stream."""
    named(device).synchronise()


def seconds(call: Call, device: str, number: int = 0) -> float:
    """The seconds that one call takes, which is given its number."""
    synchronise(device)
    started = perf_counter()
    result = call(number)
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

    Sample i of every call is of round i, so that ratios of samples are ratios of neighbours in time. Before each timed call is one that
    settles; a call without neighbours follows its like anyway. The first two rounds, in which the calls get used to each other, are thrown
    away. Python's garbage collector is off meanwhile.

    Raises ClockError when the clock does not advance during a call.
    """
    stopping = stopping or StoppingRule()
    rounds = _Rounds(turns, device, clock)
    was_collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for _ in range(WARM_ROUNDS):
            rounds.time_one()
        samples = {name: Samples() for name in turns}
        done, spent_s = 0, 0.0
        while not stopping.is_over(done, spent_s):
            took = rounds.time_one()
            for name, of_one in samples.items():
                of_one.wall_s.append(took[name])
            done += 1
            spent_s += sum(took.values())
    finally:
        if was_collecting:
            gc.enable()
    return samples


class _Rounds:
    """Times round after round of turns. Calls are numbered as they come, those that settle too, so that no two have the same number."""

    def __init__(self, turns: Mapping[str, Turn], device: str, clock: Callable[[], float]) -> None:
        self._turns, self._device, self._clock = turns, named(device), clock
        self._flush = self._device.flusher()
        self._draw = random.SystemRandom()  # its own: neither the mechanism nor the global seed decides who comes first
        self._numbers = dict.fromkeys(turns, 0)

    def time_one(self) -> dict[str, float]:
        """The seconds of every call, in one round."""
        order = list(self._turns)
        self._draw.shuffle(order)
        return {name: self._time(name) for name in order}

    def _time(self, name: str) -> float:
        turn = self._turns[name]
        if len(self._turns) > 1 and turn.settles:
            self._settle(name)
        result, took = self._call(name)
        turn.inspect(result)
        return round(took, 9)  # the clock counts nanoseconds; more digits are noise of the subtraction

    def _settle(self, name: str) -> None:
        """Leave the machine as calls of one kind leave it, with all that surrounds their timed window: one, or as many as take SETTLE_S."""
        until = self._clock() + SETTLE_S
        self._call(name)
        while self._clock() < until:
            self._call(name)

    def _call(self, name: str) -> tuple[object, float]:
        """What the next call of a turn returns, and its seconds."""
        turn, number = self._turns[name], self._numbers[name]
        self._numbers[name] += 1
        turn.prepare()
        self._flush()
        self._device.synchronise()
        started = self._clock()
        result = turn.call(number)
        self._device.synchronise()
        took = self._clock() - started
        if not took > 1e-9:
            raise ClockError(f"the clock advanced by {took:g} s during a call; no time measured with it can be believed")
        return result, took
