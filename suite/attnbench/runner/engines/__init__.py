"""Engines: where cells and checks run. Each has places, takes work for one of them, and gives back what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from attnbench.runner.cell import Cell, CheckRequest
from attnbench.runner.gate import Gate
from attnbench.runner.here import Machine
from attnbench.runner.jobs import Result
from attnbench.runner.schedule import Schedule
from attnbench.store.record import Record

Work = Cell | CheckRequest


@dataclass(eq=False)
class _Running:
    """A piece of work that runs. beside: the most others that ran in its place at once with it so far."""

    work: Work
    beside: int


@dataclass(eq=False)
class Place:
    """A machine, or a GPU: there one timed cell runs alone, or as many others as it has slots side by side.

    timed: whether what is timed may run here. closed: nothing may begin here any more.
    """

    slots: int
    timed: bool = True
    closed: bool = False
    _running: list[_Running] = field(default_factory=list)

    def __len__(self) -> int:
        """How many pieces of work run here."""
        return len(self._running)

    def has_room(self) -> bool:
        """Whether anything could begin here."""
        is_taken = any(isinstance(one.work, Cell) and one.work.is_timed for one in self._running)
        return not self.closed and len(self) < self.slots and not is_taken

    def begin(self, work: Work) -> None:
        """Take note of work that begins."""
        self._running.append(_Running(work, 0))
        for one in self._running:
            one.beside = max(one.beside, len(self) - 1)

    def end(self, work: Work) -> int:
        """Take note that work has ended; gives the most others that ran here at once with it."""
        ended = next(one for one in self._running if one.work is work)
        self._running.remove(ended)
        return ended.beside


@dataclass(frozen=True)
class Capacity:
    """How many cells an engine can run at once: timed ones, each alone in its place, and others, side by side."""

    alone: int
    beside: int


OnStart = Callable[[Cell, int, Capacity], None]


@dataclass(frozen=True)
class Done:
    """What came of a piece of work: a cell's record, or the result of a check; neither where its place was lost: it is to be done again."""

    work: Work
    place: Place
    record: Record | None = None
    found: Result | None = None


class Engine(Protocol):
    """Where cells and checks run."""

    @property
    def machine(self) -> Machine:
        """The machine, or one of those that are alike, on which cells run whose times count."""

    def places(self) -> Sequence[Place]:
        """Where work can begin now or later, and where some still runs."""

    def submit(self, work: Work, place: Place) -> None:
        """Begin a piece of work."""

    def wait(self) -> Iterable[Done]:
        """What has been done since, one by one; nothing where only the places changed."""

    def stop(self) -> None:
        """End what runs, so that nothing of it goes on."""


def run_cells(
    schedule: Schedule, gate: Gate, engine: Engine, on_start: OnStart = lambda cell, running, capacity: None
) -> Iterator[Record]:  # fmt: skip
    """Run the cells of a schedule, and the checks before them; yields each record as it comes, for the caller to store.

    on_start: called with each cell that begins and is to be tried, with how many run then, and how many could. What runs is ended with
    this iterator, and with an exception.
    """
    try:
        while True:
            places = engine.places()
            for place in places:
                while place.has_room() and (work := schedule.take(alone=not len(place), timed=place.timed)) is not None:
                    place.begin(work)
                    if isinstance(work, Cell) and work.refused is None:
                        on_start(work, sum(map(len, places)), capacity_of(places))
                    engine.submit(work, place)
            if not any(map(len, places)) and schedule.is_over():
                return
            for done in engine.wait():
                beside = done.place.end(done.work)
                if done.record is not None:
                    schedule.add(done.record)
                    yield _with_beside(done, done.record, beside)
                elif isinstance(done.work, CheckRequest) and done.found is not None:
                    gate.add(done.work, done.found)
                    schedule.checked(done.work)
                else:
                    schedule.again(done.work)
    finally:
        engine.stop()


def _with_beside(done: Done, record: Record, beside: int) -> Record:
    """The record of a training run with how many others ran beside it; any other record as it is."""
    tried = isinstance(done.work, Cell) and done.work.refused is None and not done.work.is_timed
    return replace(record, environment={**record.environment, "beside": beside}) if tried else record


def capacity_of(places: Sequence[Place]) -> Capacity:
    """How many cells places can run at once."""
    return Capacity(max(1, sum(place.timed for place in places)), max(1, sum(place.slots for place in places)))
