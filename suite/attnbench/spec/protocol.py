"""How tasks are trained and how learning rates are chosen: frozen values, each named by its date, which presets name and records hold.

A protocol never changes: what would be better is another one, whose results stand in tables of their own. `fingerprint` is kept in
every record and pinned by a test. A protocol is never made because of who won.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from attnbench.errors import unknown_name


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A way of training and tuning.

    Training: AdamW without decay of gains, biases and a mechanism's few scalars; a linear warm-up over `warmup_share` of the steps, then
    a cosine to zero; gradients clipped to `clip_norm` together; `threads` threads on a CPU.
    Tuning: those of `rates` that are `reach` places or less from the task's own are tried with each of `tuning_seeds`; while the best is
    at an edge of what was tried, the next rate is tried too; where the two best are closer than their seeds spread, both are tried with
    `deciding_seed`. The best has the least loss on the validation part, or the best metric (`judged_by`). Without `rates`, those of the
    cell are tried and no others.
    Budget: that of a task is chosen once, by runs of softmax alone of doubled epochs: the first of which a doubling gains less than
    `margins` says, in the task's metric on the validation part, and that knows more than frequencies by at least twice the margin; or the
    longest that spec.pilot allows.
    ranked_seeds, claim_seeds: how many runs a row of a ranked table, and an arm of a claim, should have.
    """

    name: str
    warmup_share: float = 0.1
    clip_norm: float = 1.0
    threads: int | None = 1
    rates: tuple[float, ...] = ()
    reach: int = 2
    tuning_seeds: tuple[int, ...] = (1000,)
    deciding_seed: int | None = None
    judged_by: str = "metric"
    margins: Mapping[str, float] = field(default_factory=dict)
    ranked_seeds: int = 3
    claim_seeds: int = 3

    def fingerprint(self) -> str:
        """A hash of all that it says, 8 hex digits."""
        return hashlib.sha256(json.dumps(dataclasses.asdict(self), sort_keys=True).encode()).hexdigest()[:8]

    def base_rates(self, centre: float) -> tuple[float, ...]:
        """The rates that are tried first: those around the one that is nearest to a task's own, smallest first.

        >>> NEWEST.base_rates(0.003)
        (0.0003, 0.001, 0.003, 0.01, 0.03)
        """
        place = min(range(len(self.rates)), key=lambda i: abs(math.log(self.rates[i] / centre)))
        first = max(0, min(place - self.reach, len(self.rates) - 2 * self.reach - 1))
        return self.rates[first : first + 2 * self.reach + 1]


HALF_DECADES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)

# That of the first records: two or three rates that a preset gave, one trial of each, judged by the metric, and budgets that nothing chose.
# A part of them trained with all threads of the machine, which their own facts say.
FIRST = Protocol(name="2026-11", threads=None)
NEWEST = Protocol(
    name="2026-12",
    rates=HALF_DECADES,
    tuning_seeds=(1000, 1001),
    deciding_seed=1002,
    judged_by="loss",
    margins={"accuracy": 0.01, "bits_per_byte": 0.05},
    ranked_seeds=5,
    claim_seeds=8,
)
PROTOCOLS: Mapping[str, Protocol] = MappingProxyType({protocol.name: protocol for protocol in (FIRST, NEWEST)})


def load(name: str) -> Protocol:
    """A protocol by name. Raises BadInput for one that there is not."""
    if name not in PROTOCOLS:
        raise unknown_name("protocol", name, PROTOCOLS, "attnbench.spec.protocol")
    return PROTOCOLS[name]
