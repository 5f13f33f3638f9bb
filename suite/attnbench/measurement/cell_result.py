"""The measurement that a cell's process returns."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Measurement:
    """Raw samples by metric, units in the names; the clock of those that are times; and the training curve if there is one.

    timed_s is how long the stage "time" took by this process's clock, for the parent to hold against its own. facts are about what was
    measured, not about how it went, and join the record's environment.
    """

    samples: dict[str, list[float]] = field(default_factory=dict)
    curve: dict[str, list[float | None]] = field(default_factory=dict)
    clocks: dict[str, str] = field(default_factory=dict)
    timed_s: float | None = None
    facts: dict[str, object] = field(default_factory=dict)

    def without_infinities(self) -> Measurement:
        """The measurement without metrics that are not finite, and with `diverged`, 1 if there were any, else 0: JSON has no NaN."""
        finite = {name: values for name, values in self.samples.items() if all(map(math.isfinite, values))}
        diverged = float(len(finite) < len(self.samples))
        return Measurement({**finite, "diverged": [diverged]}, self.curve, self.clocks, self.timed_s, self.facts)


Stage = Callable[[str], None]  # called with the name of what begins, so that it is known where a job was that is killed
