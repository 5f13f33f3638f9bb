"""The local engine: runs cells and checks on this machine, each in its own process, and those that are not timed several at a time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from attnbench.runner.cell import Cell
from attnbench.runner.engines import Done, Place, Work, run_cells
from attnbench.runner.gate import Gate, check
from attnbench.runner.larger_sizes import RanOut
from attnbench.runner.lock import Cancelled, measurement_lock
from attnbench.runner.parent import Stop, Stopped
from attnbench.runner.plan import Plan
from attnbench.runner.schedule import Schedule
from attnbench.runner.session import Session, run
from attnbench.store import environment
from attnbench.store.record import Record


def default_jobs(device: str) -> int:
    """How many cells that are not timed run side by side where nothing is said: one a core; on a GPU one, for its memory is one's own."""
    return environment.physical_cores() if device == "cpu" else 1


@dataclass(eq=False)
class _Running:
    """A piece of work in a thread of its own. beside: the most others that ran at once with it so far."""

    work: Work
    beside: int = 0
    thread: threading.Thread | None = None


class Local:
    """An engine of this machine.

    jobs: how many cells that are not timed, and checks, run side by side; with one, everything runs in the thread that waits, so that asv
    can fork. Of the memory each has its part.
    """

    def __init__(self, session: Session, jobs: int = 1) -> None:
        self._session = session
        self._beside = replace(session, limits=session.limits.shared_by(jobs))
        self._place = Place(jobs)
        self._jobs = jobs
        self._alone: Work | None = None  # to be run by who waits
        self._running: list[_Running] = []
        self._done: queue.SimpleQueue[Done | BaseException] = queue.SimpleQueue()
        self._stop = Stop()

    def places(self) -> Sequence[Place]:
        return [self._place]

    def submit(self, work: Work, place: Place) -> None:
        if self._jobs == 1 or (isinstance(work, Cell) and work.is_timed):
            self._alone = work
            return
        mine = _Running(work)
        mine.thread = threading.Thread(target=self._run_beside, args=(mine,))
        self._running.append(mine)
        for one in self._running:
            one.beside = max(one.beside, len(self._running) - 1)
        mine.thread.start()

    def wait(self) -> Sequence[Done]:
        if self._alone is not None:
            work, self._alone = self._alone, None
            return [self._do(work, self._session, _Running(work), None)]
        done = self._done.get()
        if isinstance(done, BaseException):
            raise done
        self._running = [one for one in self._running if one.work is not done.work]
        return [done]

    def stop(self) -> None:
        self._stop.set()
        for one in self._running:
            if one.thread is not None:
                one.thread.join()

    def _run_beside(self, mine: _Running) -> None:
        try:
            self._done.put(self._do(mine.work, self._beside, mine, self._stop))
        except (Stopped, Cancelled):  # nobody waits for it
            return
        except BaseException as error:  # raised where the run waits
            self._done.put(error)

    def _do(self, work: Work, session: Session, mine: _Running, stop: Stop | None) -> Done:
        if isinstance(work, Cell):
            return Done(work, self._place, record=run(work, session, lambda: mine.beside, stop))
        with measurement_lock(shared=True, given_up=self._stop.is_set):
            return Done(work, self._place, found=check(work, session.start, session.limits, stop))


def run_one_by_one(cells: Sequence[Cell], session: Session, gate: Gate, ran_out: RanOut | None = None) -> list[Record]:
    """The records of cells that are run on this machine one after the other, whatever is finished; nothing is stored but reports of checks.

    ran_out: what ran out of memory or time before.
    """
    schedule = Schedule(Plan(cells, {}, lambda cell: False), gate, ran_out or RanOut())
    return list(run_cells(schedule, gate, Local(session)))
