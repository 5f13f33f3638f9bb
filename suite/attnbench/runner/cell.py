"""A cell that is ready to run: its spec resolved, its sources known."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attnbench import registry
from attnbench.errors import BadInput
from attnbench.spec.axes import Spec
from attnbench.spec.construct import check_params, load_variant
from attnbench.store.fingerprint import check_fingerprint, fingerprint
from attnbench.tasks.loading import embedded
from attnbench.workload import Task


@dataclasses.dataclass(frozen=True)
class Cell:
    """A resolved spec with its fingerprint, and where its variant and task are loaded from (a name or a path)."""

    spec: Spec
    fingerprint: str
    variant_source: str
    task_source: str | None
    refused: Refusal | None = None  # where it is not to be tried

    @property
    def key(self) -> tuple[str, str]:
        """Id and fingerprint: a record of this machine that has both is of this cell."""
        return self.spec.key(), self.fingerprint

    def with_choice(self, chosen: Spec | Refusal) -> Cell:
        """The cell with its learning rate chosen, or refused where none can be."""
        if isinstance(chosen, Spec):
            return dataclasses.replace(self, spec=chosen)
        return dataclasses.replace(self, refused=chosen)

    @property
    def check_request(self) -> CheckRequest:
        """The check that the gate demands before the cell is measured."""
        return CheckRequest(self.variant_source, self.spec.params, self.spec.device)


def resolve(spec: Spec, sources: Mapping[str, str] | None = None) -> Cell:
    """The cell of a spec: default parameters and the data's fingerprint filled in, names known.

    sources maps a variant's or task's name to the file it comes from, for those that are not registered.

    Raises BadInput for a name that is neither, or a parameter that the variant does not have.
    """
    sources = sources or {}
    variant_source = sources.get(spec.variant, spec.variant)
    variant = load_variant(variant_source)
    check_params(spec.variant, variant, spec.params)
    data, task_source = spec.data, None
    if spec.task is not None:
        task_source = sources.get(spec.task, spec.task)
        data = _data(registry.load("tasks", task_source), spec)
    full = dataclasses.replace(spec, params={**variant.params, **spec.params}, data=data)  # type: ignore[dict-item]
    return Cell(full, fingerprint(full, variant_source, task_source), variant_source, task_source)


def _data(task: Task, spec: Spec) -> str:
    """Source and fingerprint of a task's data, in the form that the spec asks for."""
    if spec.causal not in task.causal:
        given, other = ("causal", "bidirectional") if spec.causal else ("bidirectional", "causal")
        raise BadInput(f"{spec.task} has no {given} form; it is {other}, so give causal {str(not spec.causal).lower()}")
    source = (spec.data or task.sources[0]).partition(":")[0]
    if source not in task.sources:
        raise BadInput(f"the data of {spec.task} are {' or '.join(task.sources)}, not {source!r}; choose with --data")
    version = {"embedded": embedded.data_fingerprint(task.files), "hub": task.hub}.get(source)
    return f"{source}:{version}" if version else source


@dataclass(frozen=True)
class Refusal:
    """The status and reason of the record of a cell that is not tried, because of what other records show."""

    status: str
    reason: str


@dataclass(frozen=True)
class CheckRequest:
    """A check that the gate demands: of which variant, with which parameters, on which device."""

    source: str
    params: Mapping[str, Any]
    device: str

    def fingerprint(self) -> str:
        return check_fingerprint(self.source, self.params, self.device)
