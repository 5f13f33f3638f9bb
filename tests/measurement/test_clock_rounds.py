"""Calls that take turns: what is timed, in which order, after what, and how often."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import time
from collections import Counter
from collections.abc import Callable

import pytest

from attnbench.measurement.clock import SETTLE_S, WARM_ROUNDS, ClockError, StoppingRule, Turn, take_turns, wall_clock_s
from attnbench.measurement.drift_anchor import CALLS, drift_samples
from attnbench.measurement.guard import Guard
from attnbench.measurement.timed import VerifiedTrial
from attnbench.measurement.tracks.call import KernelTrial
from attnbench.measurement.tracks.decode import STEPPED, DecodeTrial
from helpers.records import make_spec

TURN = ("prepare", "call", "prepare", "call", "inspect")  # the first call is that which settles


class Clock:
    """A clock that advances as it is told; no time passes."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def passing(self, seconds: float) -> None:
        self.now += seconds


def noting(seen: list[tuple[str, str]], name: str, clock: Clock) -> Turn:
    """A turn that notes what is done, and takes a second a call."""
    return Turn(
        lambda _: (seen.append((name, "call")), clock.passing(0.01)),
        prepare=lambda: seen.append((name, "prepare")),
        inspect=lambda _: seen.append((name, "inspect")),
    )


def rounds_of(seen: list[tuple[str, str]], names: str) -> list[list[tuple[str, str]]]:
    length = len(TURN) * len(names)
    assert len(seen) % length == 0
    return [seen[i : i + length] for i in range(0, len(seen), length)]


def test_the_window_is_the_call_and_nothing_else() -> None:
    """What prepares and inspects takes longer than the call, and is not counted."""
    clock = Clock()
    turn = Turn(
        lambda _: clock.passing(0.02),
        prepare=lambda: clock.passing(0.05),
        inspect=lambda _: clock.passing(0.07),
    )
    samples = take_turns({"call": turn}, "cpu", StoppingRule(many=10, many_s=0.1), clock)["call"].wall_s
    assert samples == pytest.approx([0.02] * 10, abs=1e-8)


def test_the_wall_clock_is_what_times_a_call() -> None:
    """A sleep lasts at least as long as it is told, however busy the machine is."""
    assert min(wall_clock_s(lambda _: time.sleep(0.02), "cpu", StoppingRule(many=3, many_s=0.0))) >= 0.02


def test_every_timed_call_directly_follows_an_untimed_one_of_its_own() -> None:
    """So what a neighbour leaves in the caches, the allocator and the launch path is met by a call that is not timed."""
    seen: list[tuple[str, str]] = []
    clock = Clock()
    take_turns({name: noting(seen, name, clock) for name in "abc"}, "cpu", StoppingRule(many=40, many_s=0.0), clock)
    for one in rounds_of(seen, "abc"):
        turns = [one[i : i + len(TURN)] for i in range(0, len(one), len(TURN))]
        assert sorted(turn[0][0] for turn in turns) == ["a", "b", "c"]
        assert all(turn == [(turn[0][0], step) for step in TURN] for turn in turns)


def test_the_order_is_drawn_anew_each_round() -> None:
    seen: list[tuple[str, str]] = []
    clock = Clock()
    take_turns({name: noting(seen, name, clock) for name in "abc"}, "cpu", StoppingRule(many=40, many_s=0.0), clock)
    firsts = Counter(one[0][0] for one in rounds_of(seen, "abc"))
    assert set(firsts) == set("abc")  # one of them never coming first in 42 rounds has a chance of 1e-7


def test_no_two_calls_have_the_same_number() -> None:
    """By which calls choose among inputs, as the drift anchor does."""
    numbers: dict[str, list[int]] = {"a": [], "b": []}
    clock = Clock()

    def turn(name: str) -> Turn:
        return Turn(lambda number: (numbers[name].append(number), clock.passing(0.01)))

    take_turns({name: turn(name) for name in numbers}, "cpu", StoppingRule(many=5, many_s=0.0), clock)
    assert numbers == {name: list(range(2 * (WARM_ROUNDS + 5))) for name in numbers}


def test_a_call_settles_on_other_inputs_than_it_is_timed_on() -> None:
    trial, clock = KernelTrial(make_spec(seq_len=64), "softmax"), Clock()
    seen: list[tuple[float, ...]] = []
    turn = VerifiedTrial(trial, Guard()).turn()

    def call(number: int) -> object:
        seen.append(tuple(float(x[0, 0, 0, 0]) for x in trial.inputs.tensors))
        clock.passing(0.01)
        return turn.call(number)

    turns = {"one": Turn(call, turn.prepare, turn.inspect), "neighbour": Turn(lambda _: clock.passing(0.01))}
    take_turns(turns, "cpu", StoppingRule(many=8, many_s=0.0), clock)
    assert len(seen) == 2 * (WARM_ROUNDS + 8)
    assert all(one != other for one, other in itertools.pairwise(seen))  # all three alike has a chance of 64^-3


def test_a_call_without_neighbours_follows_its_like_and_needs_no_other() -> None:
    """So a call that takes too long to have softmax beside it is not made twice as often."""
    seen: list[tuple[str, str]] = []
    clock = Clock()
    take_turns({"a": noting(seen, "a", clock)}, "cpu", StoppingRule(many=5, many_s=0.0), clock)
    assert [step for _, step in seen] == ["prepare", "call", "inspect"] * (WARM_ROUNDS + 5)


def test_short_calls_settle_until_they_took_as_long_as_the_caches_need() -> None:
    made, clock = Counter[str](), Clock()

    def turn(name: str, seconds: float) -> Turn:
        return Turn(lambda _: (made.update([name]), clock.passing(seconds)))

    turns = {"short": turn("short", SETTLE_S / 3.5), "long": turn("long", 2 * SETTLE_S)}
    take_turns(turns, "cpu", StoppingRule(many=1, many_s=0.0), clock)
    assert made == {"short": 5 * (WARM_ROUNDS + 1), "long": 2 * (WARM_ROUNDS + 1)}


def test_a_decoded_token_goes_on_from_tokens_that_are_stepped_before_every_call() -> None:
    """Before those that do not count too, and where it has no neighbours."""
    trial = DecodeTrial(make_spec(seq_len=64, mode="decode", causal=True), "softmax")
    turn, stepped = VerifiedTrial(trial, Guard()).turn(), list[int]()

    def call(number: int) -> object:
        stepped.append(len(trial.inputs.others))
        trial.inputs.others = []  # the next call has its own
        return turn.call(number)

    take_turns({"one": dataclasses.replace(turn, call=call)}, "cpu", StoppingRule(many=5, many_s=0.0))
    assert len(stepped) == WARM_ROUNDS + 5
    take_turns({name: dataclasses.replace(turn, call=call) for name in "ab"}, "cpu", StoppingRule(many=5, many_s=0.0))
    assert len(stepped) >= (WARM_ROUNDS + 5) * (1 + 2 * 2)
    assert all(1 <= tokens <= STEPPED for tokens in stepped)


def test_rounds_that_are_not_warm_are_thrown_away() -> None:
    """Two, which bring no stopping rule nearer."""
    clock, made = Clock(), Counter[str]()

    def turn(name: str) -> Turn:
        def call(_: int) -> None:
            made[name] += 1
            clock.passing(0.4 if made[name] <= 2 * WARM_ROUNDS else 0.01)

        return Turn(call)

    samples = take_turns({name: turn(name) for name in "ab"}, "cpu", StoppingRule(many=7, many_s=0.0), clock)
    assert {name: one.wall_s for name, one in samples.items()} == {name: pytest.approx([0.01] * 7) for name in "ab"}
    assert made == {name: 2 * (WARM_ROUNDS + 7) for name in "ab"}


def test_the_garbage_collector_rests_and_comes_back() -> None:
    seen: list[bool] = []
    clock = Clock()
    turn = Turn(lambda _: (seen.append(gc.isenabled()), clock.passing(0.01)))
    take_turns({"call": turn}, "cpu", StoppingRule(many=2, many_s=0.0), clock)
    assert seen and not any(seen)
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        take_turns({"call": Turn(lambda _: 1 / 0)}, "cpu")
    assert gc.isenabled()


@pytest.mark.parametrize("readings", [[5.0, 4.0], [5.0, 5.0]])
def test_a_clock_that_goes_back_or_stands_is_a_fault(readings: list[float]) -> None:
    with pytest.raises(ClockError, match="the clock advanced by"):
        take_turns({"call": Turn(lambda _: None)}, "cpu", clock=iter(readings).__next__)


def test_calls_do_not_settle_for_ever_by_a_clock_that_stands() -> None:
    with pytest.raises(ClockError, match="the clock advanced by"):
        take_turns({name: Turn(lambda _: None) for name in "ab"}, "cpu", clock=lambda: 5.0)


@pytest.mark.parametrize(
    ("seconds", "rounds"),
    [(0.001, 64), (0.01, 40), (0.02, 20), (0.0625, 16), (0.25, 8), (0.5, 5), (1.0, 3), (10.0, 3)],
)
def test_patience_takes_more_samples_of_short_calls(seconds: float, rounds: int) -> None:
    clock = Clock()
    call: Callable[[int], object] = lambda _: clock.passing(seconds)  # noqa: E731
    assert len(take_turns({"call": Turn(call)}, "cpu", clock=clock)["call"].wall_s) == rounds


def test_the_drift_anchors_first_call_is_not_timed() -> None:
    numbers: list[int] = []
    assert len(drift_samples(numbers.append, "cpu")) == CALLS
    assert numbers == list(range(CALLS + 1))
