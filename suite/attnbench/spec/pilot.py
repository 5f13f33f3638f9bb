"""The pilot: softmax alone, trained on every task with doubled budgets, from which the budget of all mechanisms is chosen.

Its runs are tuning trials, of the middle rates of the protocol, and read the validation part alone. Those of the budget that is chosen
serve softmax as its trials afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from attnbench import registry
from attnbench.spec import tuning
from attnbench.spec.axes import Spec
from attnbench.spec.budgets import key_of
from attnbench.spec.grids import Posed, TaskGrid
from attnbench.spec.protocol import Protocol

LONGEST = 4  # times the epochs that a task declares: whatever softmax still gains, no budget is longer, for what the runs would cost
MIDDLE = slice(1, -1)  # of the protocol's rates around a task's own


@dataclass(frozen=True)
class PilotGrid:
    """Runs of softmax on tasks, with the epochs that each declares and twice as many; the budgets after these, their outcome decides."""

    tasks: tuple[str | Posed, ...]
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """The names of its tasks."""
        return self._grid({}).names

    def specs(self, device: str, variants: tuple[str, ...], tasks: Mapping[str, str], protocol: Protocol) -> Iterator[Spec]:
        """The runs of the first two budgets of every task; of softmax, whatever variants are given."""
        for spec in self.first(device, tasks, protocol):
            for doublings in range(2):
                yield from runs(spec, doublings, protocol)

    def first(self, device: str, tasks: Mapping[str, str], protocol: Protocol) -> list[Spec]:
        """An open spec of every task, with the epochs that it declares."""
        sources = tasks or {name: name for name in self.names}
        declared = {name: registry.field("tasks", source, "small") for name, source in sources.items()}
        epochs = {name: size["epochs"] if isinstance(size, dict) else size.epochs for name, size in declared.items()}
        return [replace(spec, epochs=epochs[str(spec.task)]) for spec in self._grid(self.fixed).specs(device, (), sources, protocol)]

    def _grid(self, fixed: Mapping[str, Any]) -> TaskGrid:
        return TaskGrid(self.tasks, ("softmax",), seeds=1, processes=0, tuned=True, both_forms=True, fixed=fixed)


def runs(spec: Spec, doublings: int, protocol: Protocol) -> list[Spec]:
    """The runs of one budget: the middle rates with each of the tuning seeds. spec: open, with the epochs that its task declares."""
    assert spec.epochs is not None
    longer = replace(spec, epochs=spec.epochs * 2**doublings)
    return [tuning.trial(longer, rate, seed) for seed in protocol.tuning_seeds for rate in tuning.base_rates(longer)[MIDDLE]]


def budget_key(spec: Spec, source: str) -> str:
    """What names the budget of a run's task in CHOSEN. source: the name or path of the task."""
    forms = registry.field("tasks", source, "causal", default=(False,))
    return key_of(str(spec.task), spec.task_params, spec.causal is not forms[0])
