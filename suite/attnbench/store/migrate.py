"""Records of older schema numbers in today's shape: a small function per step, on plain JSON values, chained.

A step is never edited once records of its number exist; tests/fixtures holds a line of every number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Raw = dict[str, Any]


class UnknownSchema(ValueError):
    """A schema number that no step leads on from; the message says what to do."""


def from_1_to_2(raw: Raw) -> Raw:
    """Schema 2 names the clock of every time, and holds the seconds of every stage.

    Schema 1 knew one clock, the synchronised wall clock; `training_tokens_per_s` is a rate, not a time.
    """
    times = [metric for metric in raw.get("measurements", {}) if metric.endswith("_s") and not metric.endswith("_per_s")]
    return {**raw, "schema": 2, "clocks": {metric: "wall" for metric in times}, "stages_s": {}}


STEPS: Mapping[int, Callable[[Raw], Raw]] = {1: from_1_to_2}  # by the number that a step begins with


def migrate(raw: Raw, newest: int) -> Raw:
    """A record's JSON object of any older schema number as one of the newest.

    Raises UnknownSchema when its number is newer or was never in use, and ValueError when it has not the shape of its number.
    """
    while raw["schema"] != newest:
        number = raw["schema"]
        if number > newest:
            raise UnknownSchema(f"schema {number} is newer than {newest}, the newest that this attnbench reads; update attnbench")
        if number not in STEPS:
            raise UnknownSchema(f"schema {number} was never in use; numbers begin at {min(STEPS)} and end at {newest}")
        try:
            raw = STEPS[number](raw)
        except (AttributeError, KeyError, TypeError) as error:  # a step takes the shape of its number for granted
            raise ValueError(f"it has not the shape of schema {number}: {error}") from error
    return raw
