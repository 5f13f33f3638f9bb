"""Times the kernels of a GPU's call apart from what it costs to launch them, in rounds of their own.

A short call on a GPU takes as long as launching its kernels does: the wall clock says what a user waits for, and not what the GPU does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from attnbench.errors import text_of
from attnbench.measurement.clock import StoppingRule, Turn
from attnbench.measurement.device import Interval, Kernels, Run, named
from attnbench.measurement.timed import VerifiedTrial

ENOUGH = StoppingRule(many=10, many_s=0.0, few=3, few_s=2.0)
LONGEST_REASON = 200  # characters

Timer = Callable[[Run, Run], tuple[object, float]]  # called with a call and a flush; gives the call's result and its seconds


@dataclass(frozen=True)
class KernelTimes:
    """Seconds of a call's kernels, a sample a call, and how they were told: "graph", by replays of a CUDA graph, or "profiler"."""

    seconds: list[float]
    clock: str


@dataclass(frozen=True)
class NotTimed:
    """Why there are no times."""

    why: str


def kernel_times(make: Callable[[], VerifiedTrial], mode: str, device: str, kernels: Kernels) -> KernelTimes | NotTimed:
    """The times of a trial's kernels: by replays of a graph where the call can be captured, else by the profiler.

    Only a forward pass is captured: all that it leaves is its output, while gradients and states are also kept track of in Python, which a
    replay does not run. Times count only when the results of those very calls hold. A graph that replays something else is not believed;
    where results under the profiler do not hold either, there are no times. That is no fault of the mechanism: a record stands for the
    calls by the wall clock.

    make: gives the trial, with nothing kept of earlier calls.
    """
    flush = named(device).flusher()
    if mode == "forward":
        try:
            first = make()
            return KernelTimes(_seconds(_replaying(first.turn(), kernels), first, kernels.span, flush), "graph")
        except Exception:  # whatever torch or a mechanism raises where it is captured; the profiler is next
            named(device).synchronise()
    try:
        second = make()
        return KernelTimes(_seconds(second.turn(), second, partial(_busy, kernels), flush), "profiler")
    except Exception as error:
        return NotTimed(text_of(error)[:LONGEST_REASON])


def _replaying(turn: Turn, kernels: Kernels) -> Turn:
    """The turn with the replay of a graph in the place of its call; the inputs change in place, so that the graph sees them."""
    turn.prepare()
    replay = kernels.capture(lambda: turn.call(0))
    return dataclasses.replace(turn, call=lambda _: replay())


def _seconds(turn: Turn, verified: VerifiedTrial, timer: Timer, flush: Run) -> list[float]:
    """The seconds of calls, each after one that is not timed. Raises Incorrect when their results do not hold."""
    samples: list[float] = []
    while not ENOUGH.is_over(len(samples), sum(samples)):
        number = 2 * len(samples)
        turn.prepare()
        turn.call(number)
        turn.prepare()
        result, took = timer(partial(turn.call, number + 1), flush)
        if not took > 0:
            raise ValueError("the GPU's clock saw no kernel")
        turn.inspect(result)
        samples.append(float(f"{took:.7g}"))
    verified.verify()
    return samples


def _busy(kernels: Kernels, run: Run, flush: Run) -> tuple[object, float]:
    """What a call returned, and the seconds in which a kernel of it ran."""
    result, intervals = kernels.intervals(run, flush)
    return result, covered_s(intervals)


def covered_s(intervals: list[Interval]) -> float:
    """The seconds that intervals in nanoseconds cover together, those where several overlap once.

    >>> covered_s([(0, 10), (5, 20), (30, 40)])
    3e-08
    """
    covered = reached = 0
    for start, end in sorted(intervals):
        covered += max(0, end - max(start, reached))
        reached = max(reached, end)
    return covered / 1e9
