"""Which part of a machine a cell ran on: how many threads, and which GPU. Results of two parts are never mixed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attnbench.store.facts import APART

MOST_THREADS = 10**6  # more are a damaged record's


@dataclass(frozen=True)
class RanOn:
    """The part of a machine that a cell ran on; equal ones may stand in one table.

    threads: of torch, or, of what is timed, the share of a processor that a quota allows where that is below one; None where the record
    does not say.
    gpu: its own name; "" on the CPU, and where the record does not say which of several it was.
    """

    threads: float | None
    gpu: str


def ran_on(device: str, environment: Mapping[str, Any]) -> RanOn:
    """The part of its machine that a cell of a device ran on, from its record's environment, which may hold anything."""
    threads, quota = (_count(environment.get(name)) for name in ("threads", "processor_quota"))
    if threads is not None and quota is not None and quota < 1 and environment.get("timing") != APART:
        threads = quota
    return RanOn(threads, _gpu(environment) if device == "cuda" else "")


def only_gpu(gpus: object) -> str:
    """The name that all GPUs of a machine share, as `hardware.gpus` gives them; "" where they differ, or are divided into smaller ones."""
    cards = gpus if isinstance(gpus, list) else []
    names = {str(card.get("name", "")) if isinstance(card, dict) and card.get("mig.mode.current") != "Enabled" else "" for card in cards}
    return names.pop() if len(names) == 1 else ""


def _gpu(environment: Mapping[str, Any]) -> str:
    """The GPU that the cell's process named; where an older record has none, that of a machine on which all are alike."""
    own = environment.get("gpu")
    return own.strip() if isinstance(own, str) else only_gpu(environment.get("gpus"))


def _count(value: object) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and 0 < value <= MOST_THREADS else None  # type: ignore[operator,return-value]
