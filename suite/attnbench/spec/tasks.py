"""The task of a spec: a registered one or a file, at the difficulty that the spec's parameters say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnbench import registry
from attnbench.errors import BadInput
from attnbench.spec.axes import Spec
from attnbench.tasks.loading import embedded
from attnbench.workload import Task


def load_task(name: str, params: Mapping[str, Any] | None = None) -> Task:
    """A registered task or that of a file, with the given parameters of its difficulty.

    Raises BadInput when there is none, it is something else than a Task, or it has no such parameters.
    """
    task = registry.load("tasks", name)
    if not isinstance(task, Task):
        raise BadInput(f"TASK of {registry.stem(name)} is a {type(task).__name__}; end the file in TASK = Task(...)")
    return task.at(params or {})


def task_of(spec: Spec, source: str | None = None) -> Task:
    """The task of a spec. source: the path of its file, if it is not registered."""
    return load_task(source or str(spec.task), spec.task_params)


def data_of(task: Task, wanted: str | None, name: str) -> str:
    """Source and fingerprint of a task's data, as a spec has them. wanted: the source, the task's first if None; a fingerprint behind it is
    left aside. name: of the task.

    Raises BadInput for a source that the task does not have.
    """
    source = (wanted or task.sources[0]).partition(":")[0]
    if source not in task.sources:
        raise BadInput(f"the data of {name} are {' or '.join(task.sources)}, not {source!r}; choose with --data")
    version = {"embedded": embedded.data_fingerprint(task.files), "hub": task.hub}.get(source)
    return f"{source}:{version}" if version else source
