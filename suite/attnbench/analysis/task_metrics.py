"""The metrics of tasks: the title, format and direction of each, and the value that a guess by frequency alone would get."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from attnbench.analysis.diverged import NOTHING
from attnbench.analysis.number_format import bits, percent, plain
from attnbench.analysis.samples import single
from attnbench.stats import Interval, in_groups
from attnbench.store.metrics import higher_is_better
from attnbench.store.record import Record

SOLVED_ABOVE = 0.999  # accuracy; a task on which all mechanisms pass it orders nothing
LISTED = 5  # seeds whose values are shown one by one where their mean stands for none of them
GROUPED = (
    "Where seeds lie further apart than half the way from knowing nothing to the best result, some learned and some did not: their values "
    "are shown, and no mean."
)


@dataclass(frozen=True)
class Metric:
    """One metric of tasks.

    name:    its key in a record's measurements; "validation_" + name is the key there of the validation part, and in the curve.
    title:   its name for readers.
    show:    formats a value; for accuracy with "%".
    unit:    what follows the value where no title says it; empty where `show` writes the unit.
    half:    formats half the width of an interval.
    chance:  the metric that holds the value of guessing by frequency alone; frequent: of what the frequencies are.
    """

    name: str
    title: str
    show: Callable[[float], str]
    half: Callable[[float], str]
    chance: str = ""
    frequent: str = ""
    unit: str = ""

    @property
    def points(self) -> str:
        """The unit of a difference, after its number."""
        return " percentage points" if self.name == "accuracy" else self.unit

    @property
    def more_is_better(self) -> bool:
        return self is UNKNOWN or higher_is_better(self.name)

    def told(self, value: float) -> str:
        """A value with its unit, for a place without a title."""
        return self.show(value) + self.unit

    def spread(self, interval: Interval) -> str:
        """The half width of the interval of a mean over seeds, as text: "± 1.2", or "1 seed"."""
        return f"± {self.half((interval.high - interval.low) / 2)}" if interval.confidence else "1 seed"

    def learnable(self, records: Iterable[Record]) -> float:
        """How far the best result of any seed is from that of knowing nothing, among records of one setting; 0 where either is unknown."""
        records = list(records)
        nothing, reached = self.known_nothing(records), [value for r in records if (value := single(r, self.name)) is not None]
        return 0.0 if nothing is None else max((abs(value - nothing) for value in reached), default=0.0)

    def over_seeds_text(self, mean: Interval, seeds: Sequence[float], learnable: float) -> str:
        """The mean over seeds; where these fall into groups, for which no mean stands, the value of each, or of many the range."""
        if not in_groups(seeds, learnable):
            return self.show(mean.value)
        return ", ".join(map(self.show, sorted(seeds))) if len(seeds) <= LISTED else f"{self.show(min(seeds))} to {self.show(max(seeds))}"

    def groups_text(self, records: Sequence[Record], seeds: Iterable[Sequence[float]]) -> str:
        """That some results of one setting are no means, as a sentence; empty where all are.

        seeds: the values of each mechanism.
        """
        learnable = self.learnable(records)
        return GROUPED if any(of and in_groups(of, learnable) for of in seeds) else ""

    def gains_text(self, gains: Mapping[str, float]) -> str:
        """Which mechanisms are still learning at the end of their budget, and what they gain, as a sentence; empty where none is.

        gains: by label (budgets.gains_of).
        """
        if not gains:
            return ""
        told = ", ".join(f"{label} {self.half(gain)}" for label, gain in sorted(gains.items(), key=lambda of: (-of[1], of[0])))
        return (
            "Still learning, so that with a longer budget the order may be another: in the last quarter of training these gained more than "
            f"the margin of the protocol: {told}{self.points}."
        )

    def known_nothing(self, records: Iterable[Record]) -> float | None:
        """The value of guessing by frequency alone on the data of these records; None where it was not measured."""
        return next((value for r in records if (value := single(r, self.chance)) is not None), None)

    def chance_text(self, records: Iterable[Record]) -> str:
        """`known_nothing` as a sentence; empty where it was not measured."""
        value = self.known_nothing(records)
        return "" if value is None else f"Knowing nothing but how frequent each {self.frequent} is gives {self.told(value)}."


def nothing_known(metric: str, records: Iterable[int], lookup: Mapping[str, Mapping[int, Sequence[float]]]) -> float | None:
    """The value of guessing by frequency alone, from the samples of metrics by metric and record; None where it was not measured."""
    held = lookup.get(METRICS[metric].chance, {})
    return next((held[record][0] for record in records if held.get(record)), None)


def is_solved(metric: str, values: Iterable[float]) -> bool:
    """Whether a task is solved by all, so that the order of the values says nothing: every accuracy is above .999.

    values: of the mechanisms that compete, controls left aside.
    """
    values = list(values)
    return metric == "accuracy" and bool(values) and min(values) > SOLVED_ABOVE


METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "accuracy", percent, lambda x: f"{100 * x:.1f}", NOTHING["accuracy"], "answer"),
        Metric("bits_per_byte", "bits per byte", bits, bits, NOTHING["bits_per_byte"], "byte", " bits/byte"),
    )
}
CHANCES = tuple(metric.chance for metric in METRICS.values())
UNKNOWN = Metric("", "result", plain, plain)


def metric_of(records: Iterable[Record]) -> Metric:
    """The metric of the records of one task; UNKNOWN where none of them has a result."""
    names = {name.removeprefix("validation_") for record in records for name in record.measurements}
    return next((metric for name, metric in METRICS.items() if name in names), UNKNOWN)
