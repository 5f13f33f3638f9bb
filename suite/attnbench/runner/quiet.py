"""Waits until other programs leave the processors alone: before the first cell of a run, and after every cell that they disturbed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from attnbench.runner.load import Load, look
from attnbench.runner.lock import measurement_lock
from attnbench.store.disturbed import ALLOWED_LOAD, is_disturbing, used_by_others

LOOK_S = 0.5
BETWEEN_LOOKS_S = 2.0
LONGEST_S = 600.0
SHARE = 0.25  # of the time that a run takes: waiting longer than that for a small run is no help

Look = Callable[[float], Load | None]


def patience_of(run_s: float) -> float:
    """The seconds that a run may wait in all, by the seconds that its cells are estimated to take."""
    return min(LONGEST_S, SHARE * run_s)


@dataclass
class Quiet:
    """Waits for a quiet machine, `patience_s` seconds in all; then the run goes on, and its records say what others used.

    say: called with why it waits, and how that ends. look: gives the load of some seconds, None where the system does not say.
    """

    patience_s: float = 0.0
    say: Callable[[str], None] = lambda said: None
    look: Look = look
    _is_due: bool = True

    def wait(self) -> None:
        """Return when the machine is quiet, or was when it was last looked at, or patience is over. Another attnbench is waited for too."""
        if not self._is_due or self.patience_s < LOOK_S:
            return
        self._is_due = False
        with measurement_lock():
            load = self._look(LOOK_S)
            if load is None:
                return
            self.say(f"Waiting for a quiet machine: {_used(load)}; {ALLOWED_LOAD:g} is allowed (--busy measures all the same, marked).")
            while load is not None and self.patience_s >= BETWEEN_LOOKS_S:
                load = self._look(BETWEEN_LOOKS_S)
            if load is None:
                self.say("The machine is quiet: the run goes on.")
            else:
                self.patience_s = 0.0
                self.say(f"Still, {_used(load)}: the run goes on, and cells that this disturbs are marked, do not rank and stay due.")

    def look_again(self) -> None:
        """Have the next `wait` look at the machine: a cell was disturbed."""
        self._is_due = True

    def _look(self, seconds: float) -> Load | None:
        """The load of the next seconds if it is too much; it uses up as much patience."""
        self.patience_s -= seconds
        load = self.look(seconds)
        return load if load is not None and is_disturbing(load.other, load.steal) else None


def _used(load: Load) -> str:
    return used_by_others(load.other, load.steal)
