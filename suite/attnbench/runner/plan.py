"""Chooses the cells of a run: those of a preset that are asked for, with the trials before a tuned cell, and without finished ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from attnbench import registry
from attnbench.errors import BadInput, NotImportable, unknown_name
from attnbench.runner.cell import Cell, Key, load_task, resolve
from attnbench.runner.here import Machine, this_machine
from attnbench.runner.tuning import choose_rate
from attnbench.spec import presets, tuning
from attnbench.spec.axes import DEVICES, TRACKS, Spec
from attnbench.spec.own_cells import own_specs
from attnbench.spec.parse import parse
from attnbench.store.record import Record
from attnbench.workload import SOURCES


@dataclass(frozen=True)
class Choice:
    """What to run. Variants and tasks may be names or paths of files; empty means all of the preset. A cell overrides the rest.

    axes: the texts of flags by axis of the kernel track, for cells of a shape of one's own in place of the preset's; see own_specs.
    """

    preset: str = "quick"
    tracks: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    device: str = "cpu"
    data: str | None = None
    cell: str | None = None
    axes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def choose(choice: Choice, machine: Machine | None = None) -> list[Cell]:
    """The resolved cells of a choice, for a machine; for this one if none is given.

    A variant or task that the preset does not hold, a file for example, takes the place of the preset's own in its grids.

    Raises BadInput for unknown names, for two files of one name, for flags that do not go together, or when nothing is left.
    """
    variants, tasks = registry.by_stem("variants", choice.variants), registry.by_stem("tasks", choice.tasks)
    if choice.cell is not None:
        if choice.axes:
            raise BadInput("--cell holds every axis of its cell; leave out the flags of single axes, or --cell")
        return [resolve(spec, variants, tasks) for spec in _with_trials([parse(choice.cell)])]
    for track in choice.tracks:
        if track not in TRACKS:
            raise unknown_name("track", track, TRACKS, "attnbench run --help")
    if choice.device not in DEVICES:
        raise unknown_name("device", choice.device, DEVICES, "attnbench run --help")
    if choice.axes:
        _check_own(choice)
        return [resolve(spec, variants) for spec in own_specs(choice.axes, tuple(variants) or presets.CORE, choice.device)]
    of = machine or this_machine(choice.device)
    specs = [
        spec
        for spec in presets.load(choice.preset).specs(choice.device, tuple(variants), tasks)
        if (not choice.tracks or spec.track in choice.tracks) and of.is_for(spec)
    ]
    if not specs:
        raise BadInput(f"no cell of preset {choice.preset!r} fits that choice; drop --track or --task, or see `attnbench list presets`")
    cells = [resolve(spec, variants, tasks) for spec in _with_trials(_of_data(specs, choice.data, tasks))]
    return list({cell.key: cell for cell in cells}.values())


def _check_own(choice: Choice) -> None:
    """Raise BadInput for flags that cells of one's own shape, which are of the kernel track, do not have."""
    if set(choice.tracks) - {"kernel"}:
        raise BadInput(
            f"flags of single axes, such as --seed or --mode, ask for kernel cells of a shape of your own, and --track is "
            f"{', '.join(choice.tracks)}; leave them out, for the cells of other tracks are those of a preset, or give --track kernel"
        )
    for flag, given in (("--task", choice.tasks), ("--data", choice.data)):
        if given:
            raise BadInput(f"a shape of your own is of the kernel track, which has no {flag}; leave it out")


def _of_data(specs: Sequence[Spec], data: str | None, tasks: Mapping[str, str]) -> list[Spec]:
    """The specs with the data that are asked for, where the task has them; the others as they are."""
    if data is None:
        return list(specs)
    if data not in SOURCES:
        raise unknown_name("data source", data, SOURCES, "attnbench run --help")
    having = {task for task in {spec.task for spec in specs} if task and data in _sources(tasks.get(task, task))}
    if not having:
        raise BadInput(f"none of the chosen tasks has {data} data; leave out --data, or choose others with --task")
    return [dataclasses.replace(spec, data=data) if spec.task in having else spec for spec in specs]


def _sources(task: str) -> tuple[str, ...]:
    """Where the data of a task can come from; from nowhere where it cannot be imported, as its cells will say."""
    try:
        return load_task(task).sources
    except NotImportable:
        return ()


def _with_trials(specs: Iterable[Spec]) -> Iterator[Spec]:
    """The specs; before each one whose learning rate is to be chosen, its trials."""
    for spec in specs:
        if tuning.is_open(spec):
            yield from tuning.trials(spec)
        yield spec


class Plan:
    """The chosen cells: finished ones in `finished`, with their records in `kept`, the others in `todo`.

    Chooses learning rates once their trials are done.
    """

    def __init__(self, cells: Sequence[Cell], finished: Mapping[Key, Record], is_finished: Callable[[Cell], bool]) -> None:
        self._known = dict(finished)
        self._is_finished = is_finished
        self.finished: list[Cell] = []
        self.kept: list[Record] = []
        self.todo: list[Cell] = []
        fresh: set[Key] = set()  # cells whose records will be new
        for cell in cells:
            chosen = cell
            if tuning.is_open(cell.spec):
                trials = trials_of(cell)
                if not fresh.isdisjoint(trial.key for trial in trials):
                    self.todo.append(cell)
                    continue
                chosen = self._with_rate(cell)
            if self._is_finished(chosen):
                self.finished.append(chosen)
                self.kept.append(self._known[chosen.key])
            else:
                fresh.add(chosen.key)
                self.todo.append(chosen)
        self._known = {key: record for key, record in self._known.items() if _is_trial(record)}

    def add(self, record: Record) -> None:
        """Take note of a new record. Only of trials it is kept, for rates rest on these; of others there may be any number."""
        if _is_trial(record):
            self._known[(record.id, record.fingerprint)] = dataclasses.replace(record, curve={})

    def chosen(self, cell: Cell) -> Cell | None:
        """A cell to do with its rate, which is chosen now that its trials are done; None if it turns out to be finished."""
        if not tuning.is_open(cell.spec):
            return cell
        chosen = self._with_rate(cell)
        return None if self._is_finished(chosen) else chosen

    def _with_rate(self, cell: Cell) -> Cell:
        return cell.with_choice(choose_rate(cell.spec, [self._known[trial.key] for trial in trials_of(cell)]))


def _is_trial(record: Record) -> bool:
    return record.spec.evaluate == "validation"


def trials_of(cell: Cell) -> list[Cell]:
    """The trials by which a cell's rate is chosen; none where it is given."""
    return [dataclasses.replace(cell, spec=spec) for spec in tuning.trials(cell.spec)] if tuning.is_open(cell.spec) else []
