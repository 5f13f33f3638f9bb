"""Migrates records of older schema numbers to the current schema: a chain of small functions on plain JSON values, one per step.

A step is never edited once records of its number exist; tests/fixtures holds a line of every number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Raw = dict[str, Any]


class UnknownSchema(ValueError):
    """Raised for a schema number that cannot be migrated; the message says what to do."""


def from_1_to_2(raw: Raw) -> Raw:
    """Schema 2 names the clock of every time, and holds the seconds of every stage.

    Schema 1 knew one clock, the synchronised wall clock; `training_tokens_per_s` is a rate, not a time.
    """
    times = [metric for metric in raw.get("measurements", {}) if metric.endswith("_s") and not metric.endswith("_per_s")]
    return {**raw, "schema": 2, "clocks": {metric: "wall" for metric in times}, "stages_s": {}}


STEPS: Mapping[int, Callable[[Raw], Raw]] = {1: from_1_to_2}  # by the schema number that a step starts from


def migrate(raw: Raw, newest: int) -> Raw:
    """A record's JSON object, migrated from its own schema number to the newest.

    Raises UnknownSchema when its number is newer or was never in use, and ValueError when it does not have the shape of its number.
    """
    while raw["schema"] != newest:
        number = raw["schema"]
        if number > newest:
            raise UnknownSchema(f"schema {number} is newer than {newest}, the newest that this attnbench reads; update attnbench")
        if number not in STEPS:
            raise UnknownSchema(f"schema {number} was never in use; numbers begin at {min(STEPS)} and end at {newest}")
        try:
            raw = STEPS[number](raw)
        except (AttributeError, KeyError, TypeError) as error:  # a step does not check the shape itself
            raise ValueError(f"it has not the shape of schema {number}: {error}") from error
    return raw
