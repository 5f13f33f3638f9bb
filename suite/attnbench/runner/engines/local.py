"""The local engine: runs cells and checks on this machine, each in its own process, and those that are not timed several at a time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from attnbench.runner.cell import Cell
from attnbench.runner.engines import Done, Place, Work, run_cells
from attnbench.runner.gate import Gate, check
from attnbench.runner.here import Machine, this_machine
from attnbench.runner.larger_sizes import RanOut
from attnbench.runner.lock import Cancelled
from attnbench.runner.parent import Stop, Stopped
from attnbench.runner.plan import Plan
from attnbench.runner.schedule import Schedule
from attnbench.runner.session import Session, run
from attnbench.store import environment
from attnbench.store.record import Record

# Of a machine's memory, for each of the cells that run side by side, who may take three quarters of it. A step of the largest training run
# so far, 12 layers of orthogonal attention, took 0.4 GiB.
EACH_BYTES = 3 * 2**30


def default_jobs(machine: Machine) -> int:
    """How many cells that are not timed run side by side where nothing is said: one a core if the memory allows; on a GPU one."""
    return most_jobs(machine, environment.physical_cores()) if machine.device == "cpu" else 1


def most_jobs(machine: Machine, cores: int) -> int:
    """How many cells that are not timed so many cores of a machine can run side by side, each with EACH_BYTES of its memory."""
    memory = machine.facts.get("memory_bytes")
    return max(1, min(cores, memory // EACH_BYTES if isinstance(memory, int) else cores))


class Local:
    """An engine of this machine.

    device: of the cells. jobs: how many cells that are not timed, and checks, run side by side, each with its part of the memory; with one,
    everything runs in the thread that waits, so that asv can fork.
    """

    def __init__(self, session: Session, device: str = "cpu", jobs: int = 1) -> None:
        self._session, self._beside = session, replace(session, limits=session.limits.shared_by(jobs))
        self._device, self._jobs = device, jobs
        self._place = Place(jobs)
        self._alone: Work | None = None  # to be run by who waits
        self._threads: dict[int, threading.Thread] = {}  # by the id of their work
        self._done: queue.SimpleQueue[Done | BaseException] = queue.SimpleQueue()
        self._stop = Stop()

    @cached_property
    def machine(self) -> Machine:
        return this_machine(self._device)

    def places(self) -> Sequence[Place]:
        return [self._place]

    def submit(self, work: Work, place: Place) -> None:
        if self._jobs == 1 or (isinstance(work, Cell) and work.is_timed):
            self._alone = work
            return
        thread = threading.Thread(target=self._run_beside, args=(work,))
        self._threads[id(work)] = thread
        thread.start()

    def wait(self) -> Sequence[Done]:
        if self._alone is not None:
            work, self._alone = self._alone, None
            return [self._do(work, self._session, None)]
        done = self._done.get()
        if isinstance(done, BaseException):
            raise done
        del self._threads[id(done.work)]
        return [done]

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads.values():
            thread.join()

    def _run_beside(self, work: Work) -> None:
        try:
            self._done.put(self._do(work, self._beside, self._stop))
        except (Stopped, Cancelled):  # nobody waits for it
            return
        except BaseException as error:  # raised where the run waits
            self._done.put(error)

    def _do(self, work: Work, session: Session, stop: Stop | None) -> Done:
        if isinstance(work, Cell):
            return Done(work, self._place, record=run(work, session, stop))
        return Done(work, self._place, found=check(work, session.start, session.limits, stop=stop))


def run_one_by_one(cells: Sequence[Cell], session: Session, gate: Gate, ran_out: RanOut | None = None) -> list[Record]:
    """The records of cells that are run on this machine one after the other, whatever is finished; nothing is stored but reports of checks.

    ran_out: what ran out of memory or time before.
    """
    schedule = Schedule(Plan(cells, {}, lambda cell: False), gate, ran_out or RanOut())
    return list(run_cells(schedule, gate, Local(session)))
