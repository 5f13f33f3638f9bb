"""Chooses the cells of a run: those of a preset that are asked for, with the trials before a tuned cell, and without finished ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from attnbench import registry
from attnbench.errors import BadInput, NotImportable, unknown_name
from attnbench.runner.cell import Cell, Key, Refusal, resolve
from attnbench.runner.here import Machine, this_machine
from attnbench.runner.tuning import Tuned, tune
from attnbench.spec import presets, tuning
from attnbench.spec.axes import Spec
from attnbench.spec.axis_values import DEVICES, TRACKS
from attnbench.spec.own_cells import own_specs
from attnbench.spec.parse import parse
from attnbench.spec.tasks import load_task
from attnbench.store.record import Record
from attnbench.workload import SOURCES


@dataclass(frozen=True)
class Choice:
    """What to run. Variants and tasks may be names or paths of files; empty means all of the preset. A cell overrides the rest.

    axes: the texts of flags by axis of the kernel track, for cells of a shape of one's own in place of the preset's; see own_specs.
    specs: in place of the preset's, where what was measured says which cells are next, as in a pilot.
    """

    preset: str = "quick"
    tracks: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    device: str = "cpu"
    data: str | None = None
    cell: str | None = None
    axes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    specs: tuple[Spec, ...] | None = None


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
    preset = presets.load(choice.preset)
    specs = [
        spec
        for spec in (preset.specs(choice.device, tuple(variants), tasks) if choice.specs is None else choice.specs)
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

    Chooses learning rates once their trials are done, and says which trials are to be made beside those that were chosen.

    has_trial: whether the record of a trial that was made before serves; if not said, where it is finished.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        finished: Mapping[Key, Record],
        is_finished: Callable[[Cell], bool],
        has_trial: Callable[[Cell], bool] | None = None,
    ) -> None:
        self._before, self._is_finished, self._has_trial = finished, is_finished, has_trial or is_finished
        self._trials: dict[Key, Record] = {}  # that were made since
        self.finished: list[Cell] = []
        self.kept: list[Record] = []
        self.todo: list[Cell] = []
        fresh: set[Key] = set()  # cells whose records will be new
        for cell in cells:
            chosen = self._tuned(cell)
            if isinstance(chosen, list):
                for trial in chosen:
                    if trial.key not in fresh:
                        fresh.add(trial.key)
                        self.todo.append(trial)
                self.todo.append(cell)
            elif self._is_finished(chosen):
                self.finished.append(chosen)
                self.kept.append(self._before[chosen.key])
            elif chosen.key not in fresh:
                fresh.add(chosen.key)
                self.todo.append(chosen)

    def add(self, record: Record) -> None:
        """Take note of a new record. Only of trials it is kept, for rates rest on these; of others there may be any number."""
        if record.spec.evaluate == "validation":
            self._trials[(record.id, record.fingerprint)] = dataclasses.replace(record, curve={})

    def chosen(self, cell: Cell) -> Cell | list[Cell] | None:
        """A cell to do with its rate, if its trials decide it; the trials to make first, if they do not; None if it turns out finished."""
        if not tuning.is_open(cell.spec):
            return cell
        chosen = self._tuned(cell)
        return None if isinstance(chosen, Cell) and self._is_finished(chosen) else chosen

    def _tuned(self, cell: Cell) -> Cell | list[Cell]:
        """A cell with its rate, or refused where none can be chosen; the trials that are to be made before that is known."""
        return tuned(cell, self._record_of)

    def _record_of(self, trial: Cell) -> Record | None:
        made = self._trials.get(trial.key)
        return made or (self._before[trial.key] if trial.key in self._before and self._has_trial(trial) else None)


def tuned(cell: Cell, record_of: Callable[[Cell], Record | None]) -> Cell | list[Cell]:
    """A cell with its learning rate chosen, or refused where none can be; the trials that are to be made before that is known.

    record_of: the record of a trial, None where there is none yet. A cell whose rate is given is returned as it is.
    """
    if not tuning.is_open(cell.spec):
        return cell
    found = tune(cell.spec, lambda spec: record_of(cell.trial(spec)))
    if isinstance(found, Tuned):
        return cell.with_rate(found.spec, found.rates)
    return cell.with_refusal(found) if isinstance(found, Refusal) else [cell.trial(spec) for spec in found]
