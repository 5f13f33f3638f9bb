"""Engines: where cells and checks run. Each has places, takes work for one of them, and gives back what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from attnbench.runner.cell import Cell, CheckRequest
from attnbench.runner.gate import Gate
from attnbench.runner.jobs import Result
from attnbench.runner.schedule import Schedule
from attnbench.store.record import Record

Work = Cell | CheckRequest


@dataclass(eq=False)
class Place:
    """A machine, or a GPU: there one timed cell runs alone, or as many others as it has slots side by side.

    timed: whether what is timed may run here. closed: nothing may begin here any more.
    """

    slots: int
    timed: bool = True
    closed: bool = False
    running: list[Work] = field(default_factory=list)

    def has_room(self) -> bool:
        """Whether anything could begin here."""
        return (
            not self.closed
            and len(self.running) < self.slots
            and not any(isinstance(work, Cell) and work.is_timed for work in self.running)
        )


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

    def places(self) -> Sequence[Place]:
        """Where work can begin now or later."""

    def submit(self, work: Work, place: Place) -> None:
        """Begin a piece of work."""

    def wait(self) -> Sequence[Done]:
        """What has been done since, at least one piece."""

    def stop(self) -> None:
        """End what runs, so that nothing of it goes on."""


def run_cells(schedule: Schedule, gate: Gate, engine: Engine, on_start: OnStart = lambda cell, running, capacity: None) -> Iterator[Record]:
    """Run the cells of a schedule, and the checks before them; yields each record as it comes, for the caller to store.

    on_start: called with each cell that begins and is to be tried, with how many run then, and how many could. What runs is ended with
    this iterator, and with an exception.
    """
    try:
        while True:
            places = engine.places()
            for place in places:
                while place.has_room() and (work := schedule.take(alone=not place.running, timed=place.timed)) is not None:
                    place.running.append(work)
                    if isinstance(work, Cell) and work.refused is None:
                        on_start(work, sum(len(one.running) for one in places), _capacity(places))
                    engine.submit(work, place)
            if not any(place.running for place in places):
                return
            for done in engine.wait():
                done.place.running.remove(done.work)
                if done.record is not None:
                    schedule.add(done.record)
                    yield done.record
                elif isinstance(done.work, CheckRequest) and done.found is not None:
                    gate.add(done.work, done.found)
                    schedule.checked(done.work)
                else:
                    schedule.again(done.work)
    finally:
        engine.stop()


def _capacity(places: Sequence[Place]) -> Capacity:
    return Capacity(max(1, sum(place.timed for place in places)), max(1, sum(place.slots for place in places)))
