"""How long training is: what softmax reaches with doubled budgets, what mechanisms reach with parts of theirs, and which still gain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from attnbench.analysis.rates import OF_TRIALS, Trials, Tried, shared, tried, with_whole_budget
from attnbench.analysis.samples import BASELINE
from attnbench.analysis.settings import Setting, setting_of
from attnbench.spec.protocol import PROTOCOLS
from attnbench.store.metrics import higher_is_better
from attnbench.store.record import Record

Ladders = Mapping[Setting, Mapping[int, Sequence[Record]]]
LAST = 0.25  # share of a run in which one that has learnt what it can gains next to nothing


def gains_of(seeds: Mapping[str, Sequence[Record]], metric: str) -> dict[str, float]:
    """How much those mechanisms gain in their last quarter that are still learning at the end, by label. seeds: the runs of each."""
    return {label: gain for label, records in seeds.items() if records and (gain := still_gains(records, metric)) is not None}


def still_gains(records: Sequence[Record], metric: str) -> float | None:
    """How much of a metric the runs of a mechanism gain in their last quarter, the mean over seeds.

    None where it is no more than the margin of their protocol, or not known, and for a protocol without margins. The quarter ends with the
    run, and begins with the last point of its curve that is no later than three quarters of its steps.
    """
    gains = [gain for record in records if (gain := _last_gain(record, metric)) is not None]
    protocol = PROTOCOLS.get(records[0].spec.protocol)
    gained, margin = fmean(gains or [0.0]), protocol.margins.get(metric) if protocol else None
    return gained if margin is not None and gained > margin else None


def _last_gain(record: Record, metric: str) -> float | None:
    steps, values = record.curve.get("step", ()), record.curve.get(f"validation_{metric}", ())
    known = [(step, value) for step, value in zip(steps, values, strict=False) if step is not None and value is not None]
    before = [value for step, value in known if step <= (1 - LAST) * known[-1][0]]
    if record.status != "ok" or not before:
        return None
    gain = known[-1][1] - before[-1]
    return gain if higher_is_better(metric) else -gain


def by_budget(trials: Trials, record: Record, metric: str) -> dict[int, float]:
    """What softmax reaches on the validation part with the budgets that were tried on the task of a record, by epochs, fewest first.

    The mean over seeds at the best of the rates that were tried with every budget. Empty where there are fewer than two.
    """
    mine, found = _but_epochs(OF_TRIALS, shared(record)), dict[int, Tried]()
    for setting, by_label in trials.items():
        if BASELINE in by_label and _but_epochs(OF_TRIALS, setting) == mine:
            one = by_label[BASELINE][0]
            of_budget = tried({setting: {BASELINE: by_label[BASELINE]}}, one, metric).get(BASELINE)
            if of_budget is not None:  # none where every trial failed
                found[one.spec.epochs or 0] = of_budget
    common = set.intersection(*(of.reached.keys() | set(of.diverged) for of in found.values())) if len(found) > 1 else set()
    best = max if higher_is_better(metric) else min
    reached = {epochs: [value for rate, value in of.reached.items() if rate in common] for epochs, of in sorted(found.items())}
    return {epochs: best(values) for epochs, values in reached.items() if values} if common else {}


def ladders(records: Iterable[Record]) -> Ladders:
    """The tuned runs of whole budgets and of parts of them at the same rates, by the setting of the whole and by epochs, fewest first.

    Only of settings of which there are parts. records: those that count, without tuning trials.
    """
    found: dict[Setting, dict[int, list[Record]]] = {}
    for record in records:
        spec = record.spec
        if spec.lr_grid is not None and spec.epochs is not None and spec.epochs <= (spec.tuned_epochs or spec.epochs):
            found.setdefault(setting_of(with_whole_budget(record)), {}).setdefault(spec.epochs, []).append(record)
    return {setting: dict(sorted(by_epochs.items())) for setting, by_epochs in found.items() if len(by_epochs) > 1}


def _but_epochs(names: Sequence[str], setting: Setting) -> Mapping[str, str]:
    return {name: value for name, value in zip(names, setting, strict=True) if name != "epochs"}
