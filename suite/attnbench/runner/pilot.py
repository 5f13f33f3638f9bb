"""What the records of a pilot say: which runs it still needs, and the budget that the protocol's rule chooses for every task."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from attnbench.spec.axes import Spec
from attnbench.spec.pilot import LONGEST, runs
from attnbench.spec.protocol import Protocol
from attnbench.stats.budget import chosen_budget, doubling_gains, next_budget
from attnbench.store.metrics import higher_is_better
from attnbench.store.record import Record

NOTHING = {"accuracy": "validation_majority_share", "bits_per_byte": "validation_unigram_bits"}

RecordOf = Callable[[Spec], Record | None]


@dataclass(frozen=True)
class Piloted:
    """What a pilot shows of a task.

    reached: by epochs, the mean over seeds of the metric on the validation part at the best rate; errors: the standard error of each.
    nothing: what knowing only how frequent each answer is gives there; a run that diverged counts with that. chosen: the budget in epochs;
    None where none is chosen. doubling_gains: whether twice as many gain a margin, since it is the longest there may be. wanted: the runs
    that are to be made next.
    """

    spec: Spec
    metric: str
    reached: dict[int, float]
    errors: dict[int, float]
    nothing: float
    chosen: int | None
    wanted: list[Spec]
    failed: str | None = None
    doubling_gains: bool = False


def piloted(spec: Spec, protocol: Protocol, record_of: RecordOf) -> Piloted:
    """What the runs so far say of a task.

    spec: open, with the epochs that its task declares. record_of: the record of a run, None if there is none.
    """
    assert spec.epochs is not None
    first, reached, errors, metric, nothing = spec.epochs, dict[int, float](), dict[int, float](), "", 0.0
    doublings = 0
    while True:
        made = runs(spec, doublings, protocol)
        records = [record for run in made if (record := record_of(run)) is not None]
        if len(records) < len(made):
            return Piloted(spec, metric, reached, errors, nothing, None, [run for run in made if record_of(run) is None])
        sound = [record for record in records if record.status == "ok"]
        if not sound:
            return Piloted(spec, metric, reached, errors, nothing, None, [], (records[0].reason or records[0].status).splitlines()[0])
        metric = next(name for name, known in NOTHING.items() if known in sound[0].measurements)
        nothing = sound[0].measurements[NOTHING[metric]][0]
        reached[first * 2**doublings], errors[first * 2**doublings] = _best(sound, metric, nothing)
        margin, better = protocol.margins[metric], higher_is_better(metric)
        rule = first * LONGEST, margin, nothing, better
        if next_budget(reached, first, *rule) is None:
            chosen = chosen_budget(reached, *rule)
            gains = chosen is not None and doubling_gains(reached, chosen, margin, better)
            return Piloted(spec, metric, reached, errors, nothing, chosen, [], doubling_gains=gains)
        doublings += 1


def _best(records: Sequence[Record], metric: str, nothing: float) -> tuple[float, float]:
    """The mean over seeds of a metric on the validation part at the rate whose mean is the best, and its standard error."""
    by_rate: dict[float | None, list[float]] = {}
    for record in records:
        lost = record.measurements.get("diverged") == [1.0]
        value = nothing if lost else record.measurements[f"validation_{metric}"][0]
        by_rate.setdefault(record.spec.lr, []).append(value)
    best = (max if higher_is_better(metric) else min)(by_rate.values(), key=fmean)
    return fmean(best), stdev(best) / math.sqrt(len(best)) if len(best) > 1 else math.inf
