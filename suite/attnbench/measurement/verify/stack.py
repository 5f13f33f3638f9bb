"""Verifies a kept call of a depth or step cell against the same model in float64, whose attention is the mechanism's definition."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from attnbench.attention import Variant
from attnbench.measurement.anew import Blueprint, Original, load_anew, state_of
from attnbench.measurement.verify.closeness import STACK, Result, Verified, compare
from attnbench.measurement.verify.definition import definition_rows, undefined
from attnbench.measurement.verify.jumps import jumps, shifted
from attnbench.measurement.verify.rounding import Rounding
from attnbench.training.model import Architecture
from attnbench.training.token_shift import TokenShift

ROUNDED = 8  # more samples of the rounding of a model, see verify_model
_ATTENTION, _DEFINED = ".attention.attention.", ".attention.attention.module."  # of a parameter of a mechanism, and of its definition


class OriginalModel:
    """A model that is measured, in float32, and what it takes to build it anew.

    architecture: sizes of the model. make: builds it, a Stack or a whole Transformer. blueprint: of a layer's mechanism, by its index.
    """

    def __init__(
        self,
        architecture: Architecture,
        make: Callable[[Architecture], nn.Module],
        blueprint: Callable[[int], Blueprint],
        source: str,
        device: str,
    ) -> None:
        self._architecture, self._make, self._source, self._device = architecture, make, source, device
        self._originals: list[Original] = []

        def build(layer_index: int) -> nn.Module:
            self._originals.append(Original(blueprint(layer_index), device, torch.float32))
            return self._originals[-1].module

        self.model = make(dataclasses.replace(architecture, build_attention=build)).to(device).eval()
        self._state = state_of(self.model)
        self.shared: str | None = None  # see Execution; known when `by_definition` was asked for

    def undefined(self, batch: int, seq_len: int) -> str | None:
        """Why the definition cannot serve as attention, see definition.undefined."""
        variant, module = self._originals[0].definition()
        return undefined(variant, module, batch * self._architecture.num_heads, seq_len)

    def by_definition(self, dtype: torch.dtype) -> nn.Module:
        """The same model in another dtype, with the same parameters, whose attention is the definition by another execution of the file."""
        execution = load_anew(self._source)
        self.shared = execution.shared

        def build(layer_index: int) -> nn.Module:
            return _ByDefinition(*self._originals[layer_index].definition(dtype, execution))

        with torch.random.fork_rng(devices=[torch.cuda.current_device()] if self._device == "cuda" else []):
            model = self._make(dataclasses.replace(self._architecture, build_attention=build)).to(self._device, dtype).eval()
        model.load_state_dict({name.replace(_ATTENTION, _DEFINED): x for name, x in self._state.items()})
        return model


class _ByDefinition(nn.Module):
    """Attention that is computed as the definition says."""

    def __init__(self, variant: Variant, module: nn.Module) -> None:
        super().__init__()
        self.variant, self.module = variant, module

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, causal: bool = False, padding_mask: Tensor | None = None, hidden: Tensor | None = None
    ) -> Tensor:
        rows = torch.arange(q.shape[-2], device=q.device)
        return definition_rows(self.variant, self.module, [q, k, v, *([] if hidden is None else [hidden])], rows, causal, padding_mask)


def loss(out: Tensor) -> Tensor:
    """What a training step of a stack goes down: the mean square of its output."""
    return out.square().mean()


def verify_stack(original: OriginalModel, tokens: Tensor, results: Sequence[Tensor], causal: bool = False) -> Verified:
    """Compare a stack's output for tokens [batch, seq_len, d_model] and, in training, gradients with the definition: see verify_model."""
    training = len(results) > 1

    def of(stack: nn.Module) -> list[Tensor]:
        return _results(stack, tokens.to(next(stack.parameters()).dtype), training, causal)

    return verify_model(original, of, results, tokens.shape[:2], tokens.dtype)


def verify_model(
    original: OriginalModel,
    of: Callable[[nn.Module], list[Tensor]],
    results: Sequence[Tensor],
    shape: Sequence[int],
    dtype: torch.dtype,
    output: str = "the output",
) -> Verified:
    """Compare the results of a model, an output and, in training, the gradients by all its parameters, with the definition.

    of: the same results of the model by definition. shape: sequences and tokens. dtype: in which the model computes.

    Raises Incorrect when one is further off than its tolerance, a multiple of what the model by definition loses in that dtype.
    """
    batch, seq_len = shape
    why = original.undefined(batch, seq_len)
    if why is not None:
        return Verified(facts={"not_compared": why})
    exact = original.by_definition(torch.float64)
    plain = of(original.by_definition(torch.float32))
    if not all(x.isfinite().all() for x in plain):
        return Verified(facts={"not_compared": "the stack by definition, too, gives numbers that are not finite in float32"})
    wanted = of(exact)
    device = wanted[0].device

    def moved(by: float, generator: torch.Generator) -> list[Tensor]:
        with _rounded(exact, by, generator):
            return of(exact)

    names = [name for name, parameter in original.model.named_parameters() if parameter.requires_grad]
    compared = [Result(output, found=results[0], exact=wanted[0], plain=plain[0])]
    if len(results) > 1:
        largest: dict[str, float] = {}  # norm of a gradient in each block
        for name, right in zip(names, wanted[1:], strict=True):
            largest[_block(name)] = max(largest.get(_block(name), 0.0), float(right.norm()))
        compared += [
            Result(f"the gradient by the parameter {name}", found, right, simple, in_rows=False, scale=largest[_block(name)])
            for name, found, right, simple in zip(names, results[1:], wanted[1:], plain[1:], strict=True)
        ]

    def rounding() -> Iterator[list[Rounding]]:
        """What one computation loses may by chance be little; a deep model amplifies it by more or less than in another."""
        # As what is lost is scaled in `compare`: of a float64 cell it is that of float32.
        generator, unit = torch.Generator(device), max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)
        losses = [[x - right for x, right in zip(moved(unit, generator.manual_seed(seed)), wanted, strict=True)] for seed in range(ROUNDED)]
        by_result = list(zip(*losses, strict=True))
        smooth = [torch.zeros_like(x) for x in wanted]
        yield [Rounding(jump, lost) for jump, lost in zip(smooth, by_result, strict=True)]
        yield [Rounding(jump, lost) for jump, lost in zip(jumps(moved, wanted, device), by_result, strict=True)]

    found = compare(compared, dtype, batch * seq_len, rounding(), STACK)
    return found if original.shared is None else dataclasses.replace(found, facts={"definition": original.shared})


def _block(name: str) -> str:
    """The block that a parameter belongs to: blocks.3.attention.w_q.weight is of blocks.3, and one outside of blocks is by itself."""
    before, within, after = name.partition("blocks.")
    return before + within + after.partition(".")[0]


def _results(stack: nn.Module, tokens: Tensor, training: bool, causal: bool) -> list[Tensor]:
    with torch.set_grad_enabled(training):
        out: Tensor = stack(tokens, causal)
        if not training:
            return [out]
        wanted = [p for p in stack.parameters() if p.requires_grad]
        return [out.detach(), *torch.autograd.grad(loss(out), wanted, allow_unused=True, materialize_grads=True)]


@contextmanager
def _rounded(model: nn.Module, by: float, generator: torch.Generator) -> Iterator[None]:
    """Context manager: what each part of a model gives is changed by about `by` of its size, as rounding changes it everywhere."""

    def shift(part: nn.Module, inputs: object, out: Tensor) -> Tensor:
        return shifted(out, by, generator)

    parts = (part for part in model.modules() if isinstance(part, (nn.Linear, nn.Embedding, nn.LayerNorm, TokenShift, _ByDefinition)))
    hooks = [part.register_forward_hook(shift) for part in parts]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
