"""A mechanism ready to be timed: inputs that change before every call, results that are verified afterwards."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol

import torch
from torch import Tensor

from attnbench.errors import Incorrect
from attnbench.measurement.clock import Turn
from attnbench.measurement.guard import Guard
from attnbench.measurement.inputs import Inputs
from attnbench.measurement.verify.closeness import Verified
from attnbench.measurement.verify.repeated import check_repeated

# Timed calls whose results are kept and verified, each of all rounds being as likely: half of them wrong, which the median would show,
# pass eight once in 256 times. Fewer, but two, where their bytes would be more than KEPT_BYTES together.
KEPT, FEWEST_KEPT, KEPT_BYTES = 8, 2, 2**30
VERIFY_S = 0.5  # one kept call is compared with the definition, and others while that took no longer in all


class Trial(Protocol):
    """A computation that can be timed and verified.

    shape:     of its output.
    tolerance: relative difference allowed between a timed result and the same result computed again.
    """

    shape: torch.Size
    tolerance: float

    @property
    def inputs(self) -> Inputs:
        """The tensors that a call computes on."""

    def go_on(self) -> None:
        """Before a call that is timed, and untimed itself: do what it goes on from, anew."""

    def call(self, _: int) -> Tensor:
        """Compute on the present inputs and return the output. In training this leaves gradients."""

    def clear(self) -> None:
        """Drop every gradient, and all else that a call leaves."""

    def results(self, out: Tensor) -> list[Tensor]:
        """The results of the last call: its output and, in training, gradients."""

    def repeat(self, inputs: list[Tensor]) -> list[Tensor]:
        """The results for given inputs, computed anew, in storage that no timed call has seen."""

    def verify(self, inputs: list[Tensor], results: list[Tensor]) -> Verified:
        """Compare a timed call's results with the definition. Raises Incorrect where they are further off than they may be."""


@dataclass
class VerifiedTrial:
    """A trial whose results are verified: it keeps copies of the results of up to KEPT timed calls, and checks them after timing.

    The calls are drawn by reservoir sampling, because their number is not known beforehand. A copy is made at once, so that it lacks what a
    mechanism fills in after it has returned. Nothing that the results are compared with exists before timing is over.
    """

    trial: Trial
    guard: Guard
    _seen: int = 0
    _room: int = KEPT
    _kept: list[tuple[list[Tensor], list[Tensor]]] = field(default_factory=list)
    _draw: random.SystemRandom = field(default_factory=random.SystemRandom)

    def turn(self) -> Turn:
        return Turn(self.trial.call, self._go_on, self.inspect)

    def prepare(self) -> None:
        self.trial.clear()
        self.trial.inputs.refresh()

    def call(self, number: int) -> Tensor:
        """Call on new inputs, with gradients cleared, for passes that are not timed."""
        self.prepare()
        return self.trial.call(number)

    def _go_on(self) -> None:
        self.trial.go_on()
        self.prepare()

    def inspect(self, out: object) -> None:
        """Check the output of a timed call; if the call is drawn, keep copies of its inputs and results.

        Raises Incorrect for an output that is no plain tensor of the right shape, for changed inputs, and for threads left behind.
        """
        plain = self._plain(out)
        place = self._seen if self._seen < self._room else self._draw.randrange(self._seen + 1)
        self._seen += 1
        copied = [x.detach().clone() for x in self.trial.results(plain)] if place < self._room else []
        self.guard.check_threads()
        if not copied:
            return
        if not self.trial.inputs.are_intact():
            raise Incorrect("the call changed its inputs; leave q, k and v as they came")
        inputs = self.trial.inputs.copies()
        if self._seen == 1:
            of_one = sum(x.nbytes for x in (*inputs, *copied))
            self._room = min(KEPT, max(FEWEST_KEPT, KEPT_BYTES // max(1, of_one)))
        self._kept[place : place + 1] = [(inputs, copied)]

    def verify(self) -> Verified:
        """Compare the kept results with the same results computed again, and some of them with the definition: see VERIFY_S.

        Raises Incorrect when they differ: the timed call did something else than the mechanism does.
        """
        self.trial.clear()
        for inputs, results in self._kept:
            check_repeated(results, self.trial.repeat(inputs), self.trial.tolerance)
        self._draw.shuffle(self._kept)
        began = perf_counter()
        found = self.trial.verify(*self._kept[0])
        for inputs, results in self._kept[1:]:
            if not found.samples or perf_counter() - began > VERIFY_S:
                break
            found = found.worst_of(self.trial.verify(inputs, results))
        return found

    def _plain(self, out: object) -> Tensor:
        if type(out) not in (Tensor, torch.nn.Parameter):  # a subclass may compute its values when it is looked at
            raise Incorrect(f"the output is a {type(out).__name__}; return a plain torch.Tensor that holds its values")
        assert isinstance(out, Tensor)
        if out.shape != self.trial.shape:
            raise Incorrect(f"the output has shape {tuple(out.shape)}; it must be {tuple(self.trial.shape)}")
        return out
