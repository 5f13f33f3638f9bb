"""What tuning trials show of learning rates: the metric at every rate that was tried, and how wide the plateau around the best is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from statistics import fmean

from attnbench.analysis.samples import is_trial, single
from attnbench.analysis.settings import SETTING, Setting, setting_of
from attnbench.spec.protocol import FIRST, NEWEST, PROTOCOLS
from attnbench.stats.tuning import Plateau, plateau
from attnbench.store.metrics import higher_is_better
from attnbench.store.record import Record

OF_TRIALS = tuple(name for name in SETTING["task"] if name not in ("rate", "test_seq_len"))  # axes of a setting that its trials share


@dataclass(frozen=True)
class Tried:
    """The trials of one mechanism in one setting.

    reached: the mean over seeds of the metric on the validation part, by rate; one at which a trial diverged is among `diverged` instead.
    """

    metric: str
    reached: Mapping[float, float]
    diverged: tuple[float, ...]
    tolerance: float

    @property
    def plateau(self) -> Plateau | None:
        """The rates around the best at which the result is about as good; None where every rate diverged."""
        best_is_less = not higher_is_better(self.metric)
        worst = float("inf") if best_is_less else float("-inf")
        whole = {**self.reached, **dict.fromkeys(self.diverged, worst)}
        return plateau(whole, best_is_less, self.tolerance) if self.reached else None


Trials = Mapping[Setting, Mapping[str, list[Record]]]


def trials_by_setting(records: Iterable[Record], label: Callable[[Record], str]) -> Trials:
    """The tuning trials among some records, by what they share with the runs that rest on them, and by label."""
    found: dict[Setting, dict[str, list[Record]]] = {}
    for record in records:
        if is_trial(record):
            found.setdefault(shared(record), {}).setdefault(label(record), []).append(record)
    return found


def tried(trials: Trials, record: Record, metric: str) -> dict[str, Tried]:
    """What the trials in a record's setting show of a metric, by label."""
    tolerance = PROTOCOLS.get(record.spec.protocol, NEWEST).margins.get(metric) or NEWEST.margins.get(metric, 0.0)
    found = {}
    for label, mine in trials.get(shared(record), {}).items():
        values: dict[float, list[float]] = {}
        diverged: set[float] = set()
        for trial in mine:
            if trial.status != "ok" or trial.spec.lr is None:
                continue
            value = single(trial, f"validation_{metric}")
            if value is None or single(trial, "diverged"):
                diverged.add(trial.spec.lr)
            else:
                values.setdefault(trial.spec.lr, []).append(value)
        reached = {rate: fmean(of) for rate, of in sorted(values.items()) if rate not in diverged}
        if reached or diverged:
            found[label] = Tried(metric, reached, tuple(sorted(diverged)), tolerance)
    return found


def trials_of(trials: Trials, run: Record) -> list[Record]:
    """The trials by which the rates of the runs in the setting of a run were chosen, of all mechanisms; none where a rate was given."""
    if run.spec.track != "task" or run.spec.lr_grid is None:
        return []
    mine = [trial for of_label in trials.get(shared(run), {}).values() for trial in of_label]
    if run.spec.protocol != FIRST.name:
        return mine
    return [trial for trial in mine if f"{trial.spec.lr:g}" in run.spec.lr_grid.split()]  # several grids were in use, and none grew


def shared(record: Record) -> Setting:
    """What a run shares with its trials: the values of OF_TRIALS."""
    setting = setting_of(with_whole_budget(record))
    return tuple(value for name, value in zip(SETTING["task"], setting, strict=True) if name in OF_TRIALS)


def with_whole_budget(record: Record) -> Record:
    """A run as it would be with the whole budget, at which its rate was tuned; the same record where it has that."""
    epochs = record.spec.tuned_epochs
    return record if epochs is None else replace(record, spec=replace(record.spec, epochs=epochs, tuned_epochs=None))
