"""The depth track: a stack of blocks by num_layers, and its state at initialisation."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from attnbench import registry
from attnbench.attention import Shape, Variant
from attnbench.errors import Unsupported
from attnbench.measurement import backend
from attnbench.measurement.anew import Blueprint
from attnbench.measurement.cell_result import Measurement, Stage
from attnbench.measurement.cost import cost
from attnbench.measurement.drift_anchor import ANCHOR
from attnbench.measurement.guard import Guard
from attnbench.measurement.inputs import RolledInputs
from attnbench.measurement.tracks import require_backward
from attnbench.measurement.tracks.architecture import architecture, context_of
from attnbench.measurement.tracks.kernel import softmax_of
from attnbench.measurement.verify.closeness import Verified
from attnbench.measurement.verify.stack import OriginalModel, loss, verify_stack
from attnbench.spec.axes import Spec
from attnbench.training import diagnose
from attnbench.training.model import Stack, count_parameters, unit_rms

DIAGNOSED_SEQ_LEN = 16


def measure(spec: Spec, variant_source: str, task_source: str | None, stage: Stage, checkpoint: Path | None) -> Measurement:
    """Cost of a step of the stack, and what the stack is like before training. task_source and checkpoint are for the task track."""
    softmax_kernel = backend.hold(spec)
    guard = Guard()
    trial = StackTrial(spec, variant_source)
    result = cost(trial, spec.mode, lambda _: StackTrial(softmax_of(spec), ANCHOR), spec.device, guard, stage)
    result.facts |= backend.facts(spec, softmax_kernel, trial.variant)
    stage("diagnose")
    result.samples["parameters"] = [float(count_parameters(trial.stack))]
    result.samples["diagnosed_seq_len"] = [float(DIAGNOSED_SEQ_LEN)]
    exact = Initial(Stack(architecture(spec, variant_source, DIAGNOSED_SEQ_LEN)).to(spec.device).double().eval(), spec.causal)
    tokens = unit_rms(torch.randn(1, DIAGNOSED_SEQ_LEN, spec.d_model, device=spec.device, dtype=torch.float64))
    for diagnosis in (_conditions, _state):
        with suppress(Unsupported):  # a mechanism without a backward pass, or without a form in float64
            result.samples |= diagnosis(trial.variant, exact, tokens)
    with suppress(Unsupported):
        result.samples["gradient_norm"] = [_gradient_norm(trial)]
    return result.without_infinities()


@dataclass(frozen=True)
class Initial:
    """A stack before training, in float64, and the form of its attention."""

    stack: Stack
    causal: bool

    def __call__(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.stack(tokens, self.causal)
        return out

    def mix(self, tokens: Tensor) -> Tensor:
        """The stack without its MLPs."""
        return self.stack.mix(tokens, self.causal)


def _conditions(variant: Variant, exact: Initial, tokens: Tensor) -> dict[str, list[float]]:
    """Raises Unsupported for a mechanism without a backward pass."""
    require_backward(variant)
    return {
        "jacobian_condition": [diagnose.jacobian_condition(exact, tokens[0])],
        "attention_jacobian_condition": [diagnose.jacobian_condition(exact.mix, tokens[0])],
    }


def _state(variant: Variant, exact: Initial, tokens: Tensor) -> dict[str, list[float]]:
    with torch.no_grad():
        out = exact(tokens)[0]
    tokens_differ = {"effective_rank": [diagnose.effective_rank(out)], "dong_residual": [diagnose.dong_residual(out)]}
    return {**tokens_differ, **diagnose.attention_norms(exact.stack, tokens, exact.causal)}


def _gradient_norm(trial: StackTrial) -> float:
    require_backward(trial.variant)
    trial.clear()
    trial.train_step(trial.inputs.copies()[0])
    norm = diagnose.gradient_norm(trial.stack)
    trial.clear()
    return norm


class StackTrial:
    """A forward pass of a stack or, in training, a step of it under the mean square of its output. Inputs: tokens of unit size."""

    # A deep skipless stack may amplify rounding, which differs between two computations, far; a remembered result is wrong by about 1.
    tolerance = 0.1

    def __init__(self, spec: Spec, source: str) -> None:
        self.variant: Variant = registry.load("variants", source)
        self.training, self.causal = spec.mode == "training", spec.causal
        if self.training:
            require_backward(self.variant)

        self.original = OriginalModel(architecture(spec, source, spec.seq_len), Stack, blueprint_of(spec, source), source, spec.device)
        self.stack = self.original.model
        self.shape = torch.Size((spec.batch_size, spec.seq_len or 1, spec.d_model))
        self.inputs = RolledInputs([torch.randn(self.shape, device=spec.device)], finish=unit_rms)

    def call(self, _: int) -> Tensor:
        return self._run(self.inputs.tensors[0])

    def train_step(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.stack(tokens, self.causal)
        loss(out).backward()
        return out

    def go_on(self) -> None:
        """Nothing: a call goes on from no other."""

    def clear(self) -> None:
        self.stack.zero_grad(set_to_none=True)

    def results(self, out: Tensor) -> list[Tensor]:
        """The output and, in training, the gradients of all parameters."""
        if not self.training:
            return [out]
        wanted = (p for p in self.stack.parameters() if p.requires_grad)
        return [out.detach(), *(torch.zeros_like(p) if p.grad is None else p.grad for p in wanted)]

    def repeat(self, inputs: list[Tensor]) -> list[Tensor]:
        self.clear()
        return self.results(self._run(inputs[0]))

    def verify(self, inputs: list[Tensor], results: list[Tensor]) -> Verified:
        """See stack.verify_stack."""
        return verify_stack(self.original, inputs[0], results, self.causal)

    def _run(self, tokens: Tensor) -> Tensor:
        if self.training:
            return self.train_step(tokens)
        with torch.no_grad():
            out: Tensor = self.stack(tokens, self.causal)
        return out


def blueprint_of(spec: Spec, source: str, seq_len: int | None = None) -> Callable[[int], Blueprint]:
    """A function that gives the blueprint of a layer's mechanism by its index. seq_len: of the model, if not the spec's."""

    def blueprint(layer_index: int) -> Blueprint:
        context = context_of(spec, seq_len or spec.seq_len, layer_index)
        return Blueprint(source, Shape(spec.num_heads, spec.head_dim, **context), spec.params)

    return blueprint
