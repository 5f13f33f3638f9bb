"""How long training is: what softmax reaches with doubled budgets, what mechanisms reach with parts of theirs, and which still gain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from attnbench.analysis.rates import OF_TRIALS, Trials, Tried, shared, tried
from attnbench.analysis.samples import BASELINE
from attnbench.analysis.settings import Setting, setting_of
from attnbench.spec.protocol import PROTOCOLS
from attnbench.store.metrics import higher_is_better
from attnbench.store.record import Record

LAST = 0.25  # share of a run in which one that has learnt what it can gains next to nothing


def still_gains(records: Iterable[Record], metric: str) -> float | None:
    """How much of a metric the runs of a mechanism gain in their last quarter, the mean over seeds.

    None where it is no more than the margin of their protocol, or not known, and for a protocol without margins. The quarter ends with the
    run, and begins with the last point of its curve that is no later than three quarters of its steps.
    """
    gains, margin = [], None
    for record in records:
        protocol = PROTOCOLS.get(record.spec.protocol)
        margin = protocol.margins.get(metric) if protocol else None
        if (gain := _last_gain(record, metric)) is not None:
            gains.append(gain)
    gained = fmean(gains) if gains else 0.0
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
            found[one.spec.epochs or 0] = tried({setting: {BASELINE: by_label[BASELINE]}}, one, metric)[BASELINE]
    common = set.intersection(*(of.reached.keys() | set(of.diverged) for of in found.values())) if len(found) > 1 else set()
    best = max if higher_is_better(metric) else min
    reached = {epochs: [value for rate, value in of.reached.items() if rate in common] for epochs, of in sorted(found.items())}
    return {epochs: best(values) for epochs, values in reached.items() if values} if common else {}


def ladder(records: Iterable[Record], record: Record) -> dict[int, list[Record]]:
    """The runs of the whole budget of a record's setting and of parts of it at the same rates, by epochs; empty where there are no parts.

    record: of the whole. records: those that count, of any setting.
    """
    spec = record.spec
    if spec.tuned_epochs is not None or spec.lr_grid is None:
        return {}
    mine, found = _of_whole(record), dict[int, list[Record]]()
    for one in records:
        is_rung = one.spec.track == "task" and one.spec.evaluate == "test" and (one.spec.epochs or 0) <= (spec.epochs or 0)
        if is_rung and (one.spec.tuned_epochs or one.spec.epochs) == spec.epochs and _of_whole(one) == mine:
            found.setdefault(one.spec.epochs or 0, []).append(one)
    return dict(sorted(found.items())) if len(found) > 1 else {}


def _of_whole(record: Record) -> Setting:
    """The setting that a run of a part of a budget would have with the whole."""
    spec = record.spec
    return setting_of(replace(record, spec=replace(spec, epochs=spec.tuned_epochs or spec.epochs, tuned_epochs=None)))


def _but_epochs(names: Sequence[str], setting: Setting) -> Mapping[str, str]:
    return {name: value for name, value in zip(names, setting, strict=True) if name != "epochs"}
