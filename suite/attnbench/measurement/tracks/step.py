"""The step track: the time of one training step of a task's model, alone on the machine, with all its threads.

What a mechanism learns is measured by the task track, beside other trainings and with one thread each. Time to accuracy is the steps of
such a run times the seconds of a step.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from attnbench import registry
from attnbench.attention import Variant
from attnbench.measurement.cell_result import Measurement, Stage
from attnbench.measurement.cost import cost
from attnbench.measurement.drift_anchor import ANCHOR
from attnbench.measurement.guard import Guard
from attnbench.measurement.inputs import DrawnRows
from attnbench.measurement.tracks import require_backward
from attnbench.measurement.tracks.architecture import architecture
from attnbench.measurement.tracks.depth import blueprint_of
from attnbench.measurement.tracks.kernel import softmax_of
from attnbench.measurement.verify.closeness import Verified
from attnbench.measurement.verify.stack import OriginalModel, verify_model
from attnbench.spec.axes import Spec
from attnbench.spec.tasks import task_of
from attnbench.training.model import Architecture, count_mechanism_parameters, count_parameters, for_task
from attnbench.training.recipe import Recipe
from attnbench.training.train import clip, optimiser_of, step, update
from attnbench.workload import Split, Task

UNIT_LOSS = torch.Size((1, 1))


def measure(spec: Spec, variant_source: str, task_source: str | None, stage: Stage, checkpoint: Path | None) -> Measurement:
    """Cost of a training step on batches of the task's training part. checkpoint is for the task track."""
    stage("load data")
    task = task_of(spec, task_source)
    data = task.parts((spec.data or task.sources[0]).partition(":")[0], test=False).train.to(spec.device)
    stage("build")
    guard = Guard()
    trial = StepTrial(spec, task, data, variant_source)
    result = cost(trial, spec.mode, lambda _: StepTrial(softmax_of(spec), task, data, ANCHOR), spec.device, guard, stage)
    result.facts["implementation"] = trial.variant.implementation.get(spec.device, "reference")
    result.samples["parameters"] = [float(count_parameters(trial.model))]
    result.samples["mechanism_parameters"] = [float(count_mechanism_parameters(trial.model))]
    return result.without_infinities()


class StepTrial:
    """A step of training, the optimiser's included, at a rate of zero: it costs what any step does, and leaves the model as it was."""

    tolerance = 0.1  # as of a stack: a result that is remembered from another batch is wrong by about 1

    def __init__(self, spec: Spec, task: Task, data: Split, source: str) -> None:
        self.variant: Variant = registry.load("variants", source)
        require_backward(self.variant)

        def make(sizes: Architecture) -> nn.Module:
            return for_task(task, sizes)

        self._data, self._seq_len, self._dtype = data, task.seq_len, getattr(torch, spec.dtype)
        self._recipe = Recipe(
            epochs=1, lr=0.0, batch_size=spec.batch_size, seed=spec.seed, causal=spec.causal, mixed_precision=spec.dtype == "bfloat16"
        )
        blueprint = blueprint_of(spec, source, task.seq_len)
        self.original = OriginalModel(architecture(spec, source, task.seq_len), make, blueprint, source, spec.device)
        self.model = self.original.model
        self._optimiser = optimiser_of(self.model, self._recipe)
        self.inputs = DrawnRows(len(data), spec.batch_size, spec.device)
        self.shape = UNIT_LOSS

    def call(self, _: int) -> Tensor:
        return update(self.model, self._data, self.inputs.tensors[0], self._recipe, self._optimiser).view(UNIT_LOSS)

    def go_on(self) -> None:
        """Nothing: a step goes on from the same model."""

    def clear(self) -> None:
        self.model.zero_grad(set_to_none=True)

    def results(self, out: Tensor) -> list[Tensor]:
        """The loss, and the clipped gradients of all parameters."""
        return [out.detach(), *_gradients(self.model)]

    def repeat(self, inputs: list[Tensor]) -> list[Tensor]:
        self.clear()
        return self._of(self.model, inputs[0])

    def verify(self, inputs: list[Tensor], results: list[Tensor]) -> Verified:
        """See verify_model: loss and gradients on the same batch by definition."""
        shape = len(inputs[0]), self._seq_len
        return verify_model(self.original, lambda model: self._of(model, inputs[0]), results, shape, self._dtype, "the loss")

    def _of(self, model: nn.Module, rows: Tensor) -> list[Tensor]:
        loss = step(model, self._data, rows, self._recipe).view(UNIT_LOSS)
        clip(model, self._recipe)
        return [loss, *_gradients(model)]


def _gradients(model: nn.Module) -> list[Tensor]:
    return [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters() if p.requires_grad]
