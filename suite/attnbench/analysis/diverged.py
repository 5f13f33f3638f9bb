"""What a training run that diverged counts as: it has learnt nothing, so that its test result is that of knowing nothing.

A diverged seed is a result, which is counted and never replaced. Its record keeps what was measured, if there was anything to measure; in
every mean, interval and rank it counts as the share of the most frequent answer, or as the bits of knowing how frequent each byte is. Where
results are told by blocks of test rows it scores that in each block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

from attnbench.analysis.settings import samples_by_record
from attnbench.store.metrics import RESULTS
from attnbench.store.record import Record

if TYPE_CHECKING:
    import pandas as pd

NOTHING = {"accuracy": "majority_share", "bits_per_byte": "unigram_bits"}  # the metrics that hold what is scored by knowing nothing
BLOCKS, ASKED = "_by_block", "asked_by_block"
DIVERGED = "diverged"
COUNTED = "A seed that diverged is a result: it counts as knowing nothing."
Measured = Callable[[str], Sequence[float]]  # the samples of one record by metric, none where it has none


def counted_samples(metric: str, measured: Measured) -> Sequence[float]:
    """The samples of a metric of one record as they count: its own, but for the test results of a run that diverged.

    Where it is not known what knowing nothing scores, those are its own too.
    """
    own, result = measured(metric), _result_of(metric)
    if result is None or not _has_diverged(measured):
        return own
    nothing = measured(NOTHING[result])[:1]
    if not nothing:
        return own
    if metric.endswith(BLOCKS):
        return [*nothing] * len(measured(ASKED))
    return nothing if own or metric == result else own


def with_diverged(rows: pd.DataFrame, samples: Mapping[str, dict[int, list[float]]]) -> frozenset[int]:
    """Make samples by metric and record, in place, those that count; gives the records that diverged.

    rows: those of the records, with all their metrics. Of samples without a test result nothing is changed, and no record is given.
    """
    results = [metric for metric in samples if _result_of(metric)]
    told = samples_by_record(rows, DIVERGED) if results else {}
    lost = frozenset(record for record, of in told.items() if of[0])
    if lost:
        whole = {**{name: samples_by_record(rows, name) for name in (*NOTHING.values(), ASKED)}, **samples, DIVERGED: told}
        whole = {metric: dict(of) for metric, of in whole.items()}  # what is changed below is still asked for
        for record in lost:
            for metric in results:
                if of := list(counted_samples(metric, partial(_of_record, whole, record))):
                    samples[metric][record] = of
    return lost


def diverged_text(records: Iterable[Record]) -> str:
    """How many of the runs of a mechanism diverged, as text: "1 of 5"; "" where none did."""
    told = [_has_diverged(partial(measured_of, record)) for record in records]
    return share_text(sum(told), len(told))


def share_text(diverged: int, seeds: int) -> str:
    """A number of seeds that diverged among all, as text: "1 of 5"; "" where none did."""
    return f"{diverged} of {seeds}" if diverged else ""


def measured_of(record: Record, metric: str) -> Sequence[float]:
    """The samples of a metric of a record; none where it has none."""
    return record.measurements.get(metric, [])


def _of_record(samples: Mapping[str, Mapping[int, list[float]]], record: int, metric: str) -> Sequence[float]:
    return samples.get(metric, {}).get(record, [])


def _has_diverged(measured: Measured) -> bool:
    told = measured(DIVERGED)
    return bool(told and told[0])


@cache
def _result_of(metric: str) -> str | None:
    """The test metric of which a metric is the whole, or the part in blocks of test rows or on longer sequences; None for any other."""
    return next((name for name in RESULTS if metric == name or metric.startswith((f"{name}{BLOCKS}", f"{name}_at_"))), None)
