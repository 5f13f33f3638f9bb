"""The metrics of tasks: how each is called, shown and ordered, and what knowing nothing gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from attnbench.analysis.measured import single
from attnbench.analysis.quantity import bits, percent, plain
from attnbench.analysis.ranking import RESULTS
from attnbench.stats import Interval
from attnbench.store.record import Record


@dataclass(frozen=True)
class Metric:
    """One metric of tasks.

    name:    in a record's measurements, and after "validation_" there and in its curve.
    title, unit: "accuracy" in percent, which `show` writes; "bits per byte", to which it does not.
    half:    half the width of an interval, in words.
    chance:  the metric that says what knowing nothing but frequencies gives, and `frequent`, of what.
    """

    name: str
    title: str
    show: Callable[[float], str]
    half: Callable[[float], str]
    chance: str = ""
    frequent: str = ""
    unit: str = ""

    @property
    def more_is_better(self) -> bool:
        return RESULTS.get(self.name, True)

    def told(self, value: float) -> str:
        """A value where no title says what it is."""
        return self.show(value) + self.unit

    def spread(self, interval: Interval) -> str:
        """How far the interval of a mean over seeds reaches."""
        return f"± {self.half((interval.high - interval.low) / 2)}" if interval.confidence else "1 seed"

    def known_nothing(self, records: Iterable[Record]) -> float | None:
        """What knowing nothing gives on the data of these records."""
        return next((value for r in records if (value := single(r, self.chance)) is not None), None)

    def chance_text(self, records: Iterable[Record]) -> str:
        """The same as a sentence; nothing where it was not measured."""
        value = self.known_nothing(records)
        return "" if value is None else f"Knowing nothing but how frequent each {self.frequent} is gives {self.told(value)}."


METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "accuracy", percent, lambda x: f"{100 * x:.1f}", "majority_share", "answer"),
        Metric("bits_per_byte", "bits per byte", bits, bits, "unigram_bits", "byte", " bits/byte"),
    )
}
UNKNOWN = Metric("", "result", plain, plain)


def metric_of(records: Iterable[Record]) -> Metric:
    """The metric that records of one task have; UNKNOWN where none of them got so far."""
    names = {name.removeprefix("validation_") for record in records for name in record.measurements}
    return next((metric for name, metric in METRICS.items() if name in names), UNKNOWN)
