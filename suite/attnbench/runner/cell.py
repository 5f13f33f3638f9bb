"""A cell that is ready to run: its spec resolved, its sources known."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attnbench import registry
from attnbench.errors import BadInput, NotImportable
from attnbench.spec import protocol
from attnbench.spec.axes import Spec
from attnbench.spec.construct import check_params, load_variant
from attnbench.spec.plain import plain_params
from attnbench.spec.tasks import data_of, load_task
from attnbench.store.fingerprint import check_fingerprint, fingerprint
from attnbench.workload import LONGER, Task

Key = tuple[str, str]  # id and fingerprint of a cell
NOT_TRIED = "not tried"  # the stage of a record of a cell that other records show to be of no use


@dataclasses.dataclass(frozen=True)
class Cell:
    """A resolved spec with its fingerprint, and where its variant and task are loaded from (a name or a path)."""

    spec: Spec
    fingerprint: str
    variant_source: str
    task_source: str | None
    refused: Refusal | None = None  # where it is not to be tried
    rates_tried: tuple[float, ...] = ()  # where its rate was chosen by trials

    @property
    def key(self) -> Key:
        """Id and fingerprint: a record of this machine that has both is of this cell."""
        return self.spec.key(), self.fingerprint

    @property
    def is_timed(self) -> bool:
        """Whether it needs its machine to itself; one that is not tried does not."""
        return self.spec.is_timed and self.refused is None

    def with_refusal(self, refusal: Refusal) -> Cell:
        """The cell as one that is not to be tried."""
        return dataclasses.replace(self, refused=refusal)

    def with_rate(self, spec: Spec, rates_tried: tuple[float, ...]) -> Cell:
        """The cell with its learning rate, and those that were tried."""
        return dataclasses.replace(self, spec=spec, rates_tried=rates_tried)

    def trial(self, spec: Spec) -> Cell:
        """The cell of a tuning trial of this one."""
        return dataclasses.replace(self, spec=spec)

    @property
    def check_request(self) -> CheckRequest:
        """The check that the gate demands before the cell is measured."""
        return CheckRequest(self.variant_source, self.spec.params, self.spec.device)


def resolve(spec: Spec, variants: Mapping[str, str] | None = None, tasks: Mapping[str, str] | None = None) -> Cell:
    """The cell of a spec: default parameters and the data's fingerprint filled in, names known.

    variants, tasks: the files of those that are not registered, by name. A variant or task that cannot be imported, and a plug-in that
    declares something else than it should, give a cell that is refused, so that its record says so and the others are measured.

    Raises BadInput for a name that is neither registered nor among these, for a protocol that there is not, for a file that can be imported
    and cannot be used, and for a parameter that the variant or the task does not have.
    """
    variant_source = (variants or {}).get(spec.variant, spec.variant)
    task_source = None if spec.task is None else (tasks or {}).get(spec.task, spec.task)
    protocol.load(spec.protocol)
    registry.check("variants", variant_source)
    refused, data, task_params = None, spec.data, spec.task_params
    defaults: Mapping[str, Any]
    try:
        variant = load_variant(variant_source)
    except BadInput as error:
        refused = _refusal(variant_source, error)
        defaults = _plain_params(variant_source)
    else:
        check_params(spec.variant, variant, spec.params)
        defaults = variant.params
    if task_source is not None:
        registry.check("tasks", task_source)
        try:
            task = load_task(task_source)
        except BadInput as error:
            refused = refused or _refusal(task_source, error)
        else:
            _check_form(task.at(spec.task_params or {}), spec)
            data = data_of(task, spec.data, str(spec.task))
            task_params = {name: value for name, value in (spec.task_params or {}).items() if task.params[name] != value} or None
    full = dataclasses.replace(spec, params={**defaults, **spec.params}, data=data, task_params=task_params)  # type: ignore[dict-item]
    return Cell(full, fingerprint(full, variant_source, task_source), variant_source, task_source, refused)


def _refusal(source: str, error: BadInput) -> Refusal:
    """The refusal of what cannot be loaded; raises the error again for a file that is given by its path, and is the wrong one."""
    if isinstance(error, NotImportable):
        return Refusal(error.status, str(error))
    if registry.is_path(source):
        raise error
    return Refusal("error", str(error))


def _plain_params(source: str) -> Mapping[str, Any]:
    """The default parameters of a variant that cannot be imported, as far as its file says them without being executed."""
    declared = registry.declared("variants", source).get("params", {})
    try:
        return plain_params(declared, registry.stem(source)) if isinstance(declared, dict) else {}
    except BadInput:  # what cannot be recorded is left out, and the record says why there are no numbers
        return {}


def _check_form(task: Task, spec: Spec) -> None:
    """Raise BadInput for a form, or a length to test on, that the task does not have."""
    if spec.causal not in task.causal:
        given, other = ("causal", "bidirectional") if spec.causal else ("bidirectional", "causal")
        raise BadInput(f"{spec.task} has no {given} form; it is {other}, so give causal {str(not spec.causal).lower()}")
    if spec.test_seq_len is not None:
        lengths = [task.seq_len * factor for factor in LONGER]
        if task.longer is None:
            raise BadInput(f"{spec.task} has no longer sequences to test on; leave out test_seq_len")
        if spec.test_seq_len not in lengths:
            raise BadInput(
                f"test_seq_len is {spec.test_seq_len}; {spec.task} has {task.seq_len} tokens, so give {' or '.join(map(str, lengths))}"
            )


@dataclass(frozen=True)
class Refusal:
    """The status and reason of the record of a cell that is not tried, because of what other records or the checks of its variant show."""

    status: str
    reason: str
    stage: str = NOT_TRIED


@dataclass(frozen=True)
class CheckRequest:
    """A check that the gate demands: of which variant, with which parameters, on which device."""

    source: str
    params: Mapping[str, Any]
    device: str

    def fingerprint(self) -> str:
        return check_fingerprint(self.source, self.params, self.device)
