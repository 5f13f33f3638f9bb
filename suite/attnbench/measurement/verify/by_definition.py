"""What a call should give for one sequence of its batch, by definition: rows of the output and, in training, gradients."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attnbench.attention import PaddingMask, Variant
from attnbench.measurement.anew import Original
from attnbench.measurement.verify.definition import definition_rows, in_blocks
from attnbench.measurement.verify.jumps import jumps, shifted
from attnbench.measurement.verify.rounding import RandomRounding, Rounding

SAMPLES = 8  # of what a computation in float32 loses, at most


@dataclass(frozen=True)
class Case:
    """One sequence of a call.

    inputs:   q, k, v and, if needed, hidden, [1, ...], as the call was given them.
    rows:     the positions whose outputs are compared.
    upstream: the gradient by the output, [1, heads, seq_len, head_dim], taken as zero but in `rows`. None for a forward pass.
    """

    inputs: list[Tensor]
    rows: Tensor
    causal: bool = False
    padding_mask: PaddingMask | None = None
    upstream: Tensor | None = None

    @property
    def dtype(self) -> torch.dtype:
        """That of the call."""
        return self.inputs[0].dtype


class Definition:
    """The definition of a module's output: in float64 and, as the plain form, in float32, each by an execution of the file of its own."""

    def __init__(self, original: Original) -> None:
        self.original = original
        self.variant, self.exact = original.definition()

    def parameters(self) -> list[str]:
        """The names of the module's parameters, in the order of their gradients."""
        return [name for name, parameter in self.exact.named_parameters() if parameter.requires_grad]

    def exactly(self, case: Case) -> list[Tensor]:
        """The rows of the output and, in training, the gradients by the inputs and by the module's parameters, in float64."""
        return self._of(case, [x.double() for x in case.inputs])

    def plainly(self, case: Case) -> list[Tensor]:
        """The same in float32, rounded to the call's dtype if that is narrower."""
        variant, module = self.original.definition(torch.float32)
        found = _results(variant, module, case, [x.float() for x in case.inputs])
        return [x.to(case.dtype) if case.dtype.itemsize < x.dtype.itemsize else x for x in found]

    def rounding(self, case: Case, exact: Sequence[Tensor]) -> Iterator[list[Rounding]]:
        """What rounding may do to each result of `exactly`, which are given: where it jumps, then with ever more samples of its loss."""

        def results(by: float, generator: torch.Generator) -> list[Tensor]:
            return self._of(case, [shifted(x.double(), by, generator) for x in case.inputs])

        jumped = jumps(results, exact, case.inputs[0].device)
        losses: list[list[Tensor]] = []
        while True:
            yield [Rounding(jump, [one[i] for one in losses]) for i, jump in enumerate(jumped)]
            if len(losses) == SAMPLES:
                return
            losses.append(self._loss(case, torch.Generator(case.inputs[0].device).manual_seed(len(losses))))

    def _loss(self, case: Case, generator: torch.Generator) -> list[Tensor]:
        """A sample of what a computation in float32 loses.

        It is for another upstream gradient whose rows are as large: that of the call may by chance be almost orthogonal to a value.
        """
        if case.upstream is not None:
            other = torch.randn(case.upstream.shape, generator=generator, device=generator.device, dtype=torch.float64)
            size = case.upstream.double().norm(dim=-1, keepdim=True) / math.sqrt(other.shape[-1])
            case = dataclasses.replace(case, upstream=size * other)
        inputs = [x.double() for x in case.inputs]
        exact = self._of(case, inputs)
        with RandomRounding(generator):
            found = self._of(case, inputs)
        found = [x.to(case.dtype) if case.dtype.itemsize < 4 else x for x in found]
        return [x.double() - y for x, y in zip(found, exact, strict=True)]

    def _of(self, case: Case, inputs: Sequence[Tensor]) -> list[Tensor]:
        return _results(self.variant, self.exact, case, inputs)


def _results(variant: Variant, module: nn.Module, case: Case, inputs: Sequence[Tensor]) -> list[Tensor]:
    training = case.upstream is not None
    leaves = [x.detach().requires_grad_(training) for x in inputs]
    wanted = [*leaves, *(p for p in module.parameters() if p.requires_grad)]
    _, heads, seq_len, _ = leaves[0].shape
    outs: list[Tensor] = []
    total: list[Tensor] = []
    with torch.set_grad_enabled(training):
        for rows in in_blocks(variant, case.rows, heads, seq_len):
            out = definition_rows(variant, module, leaves, rows, case.causal, case.padding_mask)
            outs.append(out.detach())
            if case.upstream is not None:
                upstream = case.upstream[:, :, rows].to(out.dtype)
                gradients = torch.autograd.grad(out, wanted, upstream, allow_unused=True, materialize_grads=True)
                total = [x + y for x, y in zip(total, gradients, strict=True)] if total else list(gradients)
    return [torch.cat(outs, -2), *total]
