"""Waits until other programs leave the processors alone: before the first cell of a run, and after every cell that they disturbed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from attnbench.runner.load import Load, look
from attnbench.runner.lock import measurement_lock
from attnbench.store.disturbed import ALLOWED_LOAD, is_disturbing, used_by_others

LOOK_S = 0.5  # the first look; the others are surer
NEXT_LOOK_S = 2.0
PAUSE_S = 1.0  # before each of them, without the lock, so that another attnbench can go on
SHORTEST_S, LONGEST_S = 60.0, 600.0  # of one wait
IN_ALL_S = 3600.0  # of the waits of a run
SHARE = 0.25  # of the time that a run takes: a wait of more is little help

Look = Callable[[float], Load | None]


def patience_of(run_s: float) -> float:
    """The seconds that a run may wait at a time, by the seconds that its cells are estimated to take."""
    return min(LONGEST_S, max(SHORTEST_S, SHARE * run_s))


@dataclass
class Quiet:
    """Waits for a quiet machine, `patience_s` seconds at a time, an hour in all; then the run goes on, and records say what others used.

    A machine that was found quiet is worth as long a wait again; one on which patience ended is only looked at until then.

    patience_s: 0 to wait for nothing. say: called with why it waits, and how that ends. look: gives the load of some seconds, None where
    the system does not say. pause: waits without looking.
    """

    patience_s: float = 0.0
    say: Callable[[str], None] = lambda said: None
    look: Look = look
    pause: Callable[[float], None] = time.sleep
    _is_due: bool = True
    _since_quiet_s: float = 0.0  # waited
    _in_all_s: float = 0.0

    def wait(self) -> None:
        """Return when the machine is quiet, or was when it was last looked at, or patience is over. Another attnbench is waited for too."""
        if not self._is_due or self.patience_s == 0.0 or self._in_all_s + LOOK_S > IN_ALL_S:
            return
        self._is_due = False
        load = self._look(LOOK_S)
        if load is None or not self._has_patience():
            return
        self.say(f"Waiting for a quiet machine: {_used(load)}; {ALLOWED_LOAD:g} is allowed (--busy measures all the same, marked).")
        while load is not None and self._has_patience():
            self.pause(PAUSE_S)
            load = self._look(NEXT_LOOK_S, PAUSE_S)
        if load is None:
            self.say("The machine is quiet: the run goes on.")
        else:
            self.say(f"Still, {_used(load)}: the run goes on, and cells that this disturbs are marked, do not rank and stay due.")

    def look_again(self) -> None:
        """Have the next `wait` look at the machine: a cell was disturbed."""
        self._is_due = True

    def _look(self, seconds: float, paused_s: float = 0.0) -> Load | None:
        """The load of the next seconds if it is too much. The lock keeps the cells of another attnbench out of it."""
        with measurement_lock():
            load = self.look(seconds)
        too_much = load if load is not None and is_disturbing(load.other, load.steal) else None
        self._in_all_s += paused_s + seconds
        self._since_quiet_s = self._since_quiet_s + paused_s + seconds if too_much else 0.0
        return too_much

    def _has_patience(self) -> bool:
        """Whether there is time for one more look."""
        longer_s = PAUSE_S + NEXT_LOOK_S
        return self._since_quiet_s + longer_s <= self.patience_s and self._in_all_s + longer_s <= IN_ALL_S


def _used(load: Load) -> str:
    return used_by_others(load.other, load.steal)
