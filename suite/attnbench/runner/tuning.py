"""The choice of a learning rate from the records of its trials: which trials come next, and what follows from them all."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from attnbench.runner.cell import Refusal
from attnbench.spec import protocol
from attnbench.spec.axes import Spec
from attnbench.spec.tuning import base_rates, trial
from attnbench.stats.tuning import best_rate, next_trials
from attnbench.store.metrics import RESULTS, higher_is_better
from attnbench.store.record import Record


@dataclass(frozen=True)
class Tuned:
    """An open spec with its rate, and the rates that were tried, smallest first."""

    spec: Spec
    rates: tuple[float, ...]


def tune(spec: Spec, record_of: Callable[[Spec], Record | None]) -> Tuned | Refusal | list[Spec]:
    """What follows for an open spec from the trials that there are: its rate, trials to make next, or why it cannot be tuned.

    record_of: the record of a trial, None where there is none yet. A trial that diverged is the worst there can be. One that failed counts
    as such too; where all failed with one status the refusal has that status, for the cell would have failed as well.
    """
    rules = protocol.load(spec.protocol)
    base, seeds = base_rates(spec), rules.tuning_seeds
    every_seed = (*seeds, *(() if rules.deciding_seed is None else (rules.deciding_seed,)))
    tried: dict[float, dict[int, float]] = {}
    failed: dict[str, str] = {}  # reason by status
    learnt = False
    for rate in sorted({*base, *rules.rates}):
        for seed in every_seed:
            if (record := record_of(trial(spec, rate, seed))) is not None:
                found = _loss(record, rules.judged_by)
                if isinstance(found, Refusal):
                    failed.setdefault(found.status, found.reason)
                learnt = learnt or not isinstance(found, Refusal)
                tried.setdefault(rate, {})[seed] = math.inf if isinstance(found, Refusal) else found
    missing = [(rate, seed) for seed in seeds for rate in base if seed not in tried.get(rate, {})]
    if not missing and not learnt:
        return _refusal(failed)
    # Until the grid is whole nothing is decided: of what was tried beyond it before, the rules ask again when they come to it.
    wanted = missing or next_trials(tried, base, rules.rates, seeds, rules.deciding_seed)
    if wanted:
        return [trial(spec, rate, seed) for rate, seed in wanted]
    return Tuned(replace(spec, lr=best_rate(tried)), tuple(sorted(tried)))


def _loss(record: Record, judged_by: str) -> float | Refusal:
    """What a trial is judged by, less is better; a Refusal for one that failed or has no result."""
    if record.status != "ok":
        return Refusal(record.status, (record.reason or "no reason given").splitlines()[0])
    names = ("loss",) if judged_by == "loss" else RESULTS
    metric = next((name for name in names if record.measurements.get(f"validation_{name}")), None)
    if _diverged(record.measurements):
        return math.inf
    if metric is None:  # a record that somebody edited
        return Refusal("error", "a trial's record has no result on the validation part; measure it again with --rerun")
    value = record.measurements[f"validation_{metric}"][0]
    return -value if judged_by != "loss" and higher_is_better(metric) else value


def _diverged(measurements: Mapping[str, list[float]]) -> bool:
    told = measurements.get("diverged")
    return bool(told and told[0])


def _refusal(failed: Mapping[str, str]) -> Refusal:
    if len(failed) == 1:
        return Refusal(*next(iter(failed.items())))
    return Refusal("skipped", f"no rate could be tried; {'; '.join(f'{status}: {why}' for status, why in failed.items())}")
