"""The registered tasks and their data, loaded once a test session."""

from __future__ import annotations

from functools import cache

import attnbench
from attnbench import registry
from attnbench.workload import Parts, Split, Task


@cache
def declared(name: str) -> Task:
    task: Task = registry.load("tasks", name)
    return task


NAMES = attnbench.names("tasks")
LOCAL = [name for name in NAMES if declared(name).load is not None]
ON_HUB = [name for name in NAMES if declared(name).load_hub is not None]


@cache
def loaded(name: str) -> Parts:
    """The parts of a task that needs no network."""
    task = declared(name)
    assert task.load is not None
    return task.load()


def splits(parts: Parts) -> dict[str, Split]:
    return dict(zip(("train", "validation", "test"), parts, strict=True))


def contents(split: Split) -> set[bytes]:
    return {row.numpy().tobytes() for row in split.inputs}
