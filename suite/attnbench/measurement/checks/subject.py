"""The variant under check: how it is built, what it is fed, and what it should give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from attnbench.attention import Heads, PaddingMask, Shape, Unsupported, Variant, hide_padding
from attnbench.errors import is_out_of_memory
from attnbench.measurement.anew import Blueprint, Execution, load_anew

BATCH, GROUPS, SEQ_LEN, HEAD_DIM = 2, 3, 11, 5  # distinct primes: no two axes can be confused
PADDED = {"right": [7, 8, 9, 10], "left": [0, 1, 2], "holes": [2, 5, 6], "all": list(range(SEQ_LEN)), "none": []}
STIR = 0.1
# Of sums over a few hundred terms, with room for an exponential or an inverse. Float32 serves where there is no form in float64.
ROUNDING = {torch.float64: 1e-10, torch.float32: 1e-4}

Inputs = dict[str, Tensor]  # q, k, v, and hidden where the mechanism wants it


@dataclass(frozen=True)
class Subject:
    """A variant with its parameters, on a device. source: the name or path that it is loaded from.

    Modules of each dtype but float32 come from an execution of the file of their own, so that no table made in one dtype serves another.
    """

    source: str
    variant: Variant
    params: Mapping[str, Any]
    device: str = "cpu"
    _executions: dict[torch.dtype, Execution] = field(default_factory=dict)
    _finest: list[torch.dtype] = field(default_factory=list)
    _matrix: list[bool] = field(default_factory=list)
    _gradient_trouble: dict[bool, Exception | None] = field(default_factory=dict)

    @property
    def forms(self) -> tuple[bool, ...]:
        """The values of `causal` that it takes."""
        return self.variant.forms

    def build(
        self,
        seq_len: int = SEQ_LEN,
        head_dim: int = HEAD_DIM,
        groups: int = GROUPS,
        dtype: torch.dtype = torch.float32,
        state: Mapping[str, Any] | None = None,
        kv_groups: int | None = None,
    ) -> nn.Module:
        """A module in eval mode that has never been called, the same each time.

        Noise is added to its parameters, so that none is left without effect at 0 or 1. state: parameters and persistent buffers that it
        has instead, those of a module whose dtype rounds them. kv_groups: as groups, of the keys and values, if those are fewer.
        """
        heads, size = groups * self.variant.head_group, self.variant.head_group
        kv_heads = None if kv_groups is None else kv_groups * size
        shape = Shape(heads, head_dim, seq_len, heads * head_dim, layer_index=1, num_layers=3, num_kv_heads=kv_heads)
        blueprint = Blueprint(self.source, shape, self.params)
        variant = self.executed(dtype)
        torch.manual_seed(0)
        module = blueprint.build() if variant is self.variant else blueprint.build_by(variant)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(STIR * torch.randn_like(parameter))
        module = module.to(self.device, dtype)
        if state is not None:
            module.load_state_dict(state)
        return module

    def executed(self, dtype: torch.dtype) -> Variant:
        """The variant by the execution of its file that belongs to a dtype."""
        if dtype == torch.float32:
            return self.variant
        if dtype not in self._executions:
            self._executions[dtype] = load_anew(self.source)
        return self._executions[dtype].variant

    def shared(self) -> str | None:
        """Why modules of every dtype come from one execution of the file after all; None where each dtype has its own."""
        return next((execution.shared for execution in self._executions.values() if execution.shared), None)

    def finest(self) -> torch.dtype:
        """Float64; float32 where a mechanism raises Unsupported in float64, as a compiled kernel may, and only there."""
        if not self._finest:
            self._finest.append(torch.float32 if self._lacks(torch.float64) and not self._lacks(torch.float32) else torch.float64)
        return self._finest[0]

    def _lacks(self, dtype: torch.dtype) -> bool:
        inputs = {key: x.to(dtype) for key, x in self.draw().items()}
        try:
            with torch.no_grad():
                attend(self.build(dtype=dtype), inputs)
        except Unsupported:
            return True
        except Exception as error:  # whatever a third party's mechanism does: the checks will say what is wrong
            if is_out_of_memory(error):
                raise
        return False

    def gradient_trouble(self, causal: bool) -> Exception | None:
        """What is raised where gradients are asked for, though the output alone can be had; None if nothing is.

        It is Unsupported where the mechanism says, in its declaration or by raising it, that it has no backward pass.
        """
        if causal not in self._gradient_trouble:
            self._gradient_trouble[causal] = self._ask_for_gradients(causal)
        return self._gradient_trouble[causal]

    def has_gradients(self) -> bool:
        """Whether some form has a backward pass."""
        return any(self.gradient_trouble(causal) is None for causal in self.forms)

    def _ask_for_gradients(self, causal: bool) -> Exception | None:
        if not self.variant.training:
            return Unsupported("it declares training=False")
        module, inputs = self.build(), self.draw()
        try:
            with torch.enable_grad():
                leaves = cast(inputs, torch.float32)
                gradients(attend(module, leaves, causal), module, leaves)
        except Exception as trouble:  # whatever a third party's mechanism does
            if is_out_of_memory(trouble):
                raise
            try:
                with torch.no_grad():
                    attend(self.build(), inputs, causal)
            except Exception:  # gradients have no part in it: the checks of the output will say what is wrong
                return None
            return trouble
        return None

    def draw(self, batch: int = BATCH, seq_len: int = SEQ_LEN, head_dim: int = HEAD_DIM, groups: int = GROUPS, seed: int = 1) -> Inputs:
        """Standard normal inputs in float32."""
        generator = torch.Generator().manual_seed(seed)
        heads = groups * self.variant.head_group
        inputs = {key: torch.randn(batch, heads, seq_len, head_dim, generator=generator) for key in "qkv"}
        if self.variant.needs_hidden:
            inputs["hidden"] = torch.randn(batch, seq_len, heads * head_dim, generator=generator)
        return {key: x.to(self.device) for key, x in inputs.items()}

    def masks(self, *kinds: str) -> Tensor:
        """A padding mask with a row of each kind of `PADDED`."""
        mask = torch.zeros(len(kinds), SEQ_LEN, dtype=torch.bool)
        for row, kind in enumerate(kinds):
            mask[row, PADDED[kind]] = True
        return mask.to(self.device)

    def has_matrix(self) -> bool:
        """Whether its modules can give the dense attention matrix."""
        if not self._matrix:
            self._matrix.append(hasattr(self.build(), "matrix"))
        return self._matrix[0]

    def has_dense(self) -> bool:
        """Whether a dense matrix says what the output should be."""
        return self.variant.reference is not None or self.has_matrix()

    def is_defined(self) -> bool:
        """Whether a dense matrix, or rows by definition, say what the output should be."""
        return self.has_dense() or self.variant.reference_rows is not None

    def defined(self, module: nn.Module, inputs: Inputs, causal: bool, padding_mask: PaddingMask | None = None) -> Heads:
        """What the output should be, in the inputs' dtype: by the dense matrix or, where there is none, by all rows of reference_rows."""
        if self.has_dense():
            return times(self.dense(module, inputs, causal, padding_mask), inputs["v"], padding_mask)
        return self.all_rows(module, inputs, causal, padding_mask)

    def all_rows(self, module: nn.Module, inputs: Inputs, causal: bool, padding_mask: PaddingMask | None = None) -> Heads:
        """Every row of the declared reference_rows, in order."""
        reference_rows = self.executed(inputs["q"].dtype).reference_rows
        assert reference_rows is not None
        q, k, v = (inputs[key].clone() for key in "qkv")
        rows = torch.arange(q.shape[-2], device=q.device)
        out: Heads = reference_rows(module, q, k, v, rows, causal, padding_mask, **_context(inputs))
        return out

    def dense(
        self, module: nn.Module, inputs: Inputs, causal: bool, padding_mask: PaddingMask | None = None, by_definition: bool = True
    ) -> Tensor:
        """The dense attention matrix in the inputs' dtype: the declared reference, where there is one, else the module's own.

        With by_definition=False the module's own is preferred: a reference may be cubic in seq_len.
        """
        reference = self.executed(inputs["q"].dtype).reference
        if reference is not None and (by_definition or not hasattr(module, "matrix")):
            return reference(module, inputs["q"].clone(), inputs["k"].clone(), causal, padding_mask, **_context(inputs))
        return own_matrix(module, inputs, causal, padding_mask)


def attend(module: nn.Module, inputs: Inputs, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
    """The output for copies of the inputs: a mechanism that writes into them disturbs only the check that looks for it."""
    given = {key: x.clone() for key, x in inputs.items()}
    mask = None if padding_mask is None else padding_mask.clone()
    q, k, v = (given.pop(key) for key in "qkv")
    out: Tensor = module(q, k, v, causal=causal, padding_mask=mask, **given)
    return out


def own_matrix(module: nn.Module, inputs: Inputs, causal: bool = False, padding_mask: PaddingMask | None = None) -> Tensor:
    """The dense matrix that the module itself gives, for copies of the inputs."""
    of: Any = module
    q, k = inputs["q"].clone(), inputs["k"].clone()
    matrix: Tensor = of.matrix(q, k, causal=causal, padding_mask=padding_mask, **_context(inputs))
    return matrix


def _context(inputs: Inputs) -> Inputs:
    """What a mechanism is given beside q, k and v."""
    return {key: x.clone() for key, x in inputs.items() if key not in "qkv"}


def times(matrix: Tensor, v: Tensor, padding_mask: PaddingMask | None) -> Tensor:
    """matrix @ v, whatever v holds at padding, with the padded rows zero."""
    return hide_padding(padding_mask, matrix @ hide_padding(padding_mask, v)[0])[0]


def cast(inputs: Inputs, dtype: torch.dtype, with_gradients: bool = True) -> Inputs:
    """The inputs in another dtype, as leaves that ask for gradients."""
    return {key: x.detach().to(dtype).requires_grad_(with_gradients) for key, x in inputs.items()}


def select(inputs: Inputs, rows: slice, tokens: Tensor | slice = slice(None)) -> Inputs:
    """Some sequences, and some tokens of them."""
    return {key: x[rows][..., tokens, :] for key, x in inputs.items()}


def gradients(out: Tensor, module: nn.Module, inputs: Inputs) -> dict[str, Tensor]:
    """Gradients of every input and parameter for a fixed upstream gradient; zero for what is not used."""
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).to(out.device, out.dtype)
    named = {**inputs, **dict(module.named_parameters())}
    found = torch.autograd.grad(out, list(named.values()), upstream, materialize_grads=True)
    return dict(zip(named, found, strict=True))


def relative_error(found: Tensor, expected: Tensor) -> float:
    """||found - expected|| / ||expected||, absolute where that norm is below 1e-2, for what is expected may be zero.

    NaN where either is not finite: no comparison holds then.
    """
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).norm() / expected.norm().clamp_min(1e-2))


def flat(tensors: Mapping[str, Tensor]) -> Tensor:
    """All values of some tensors in one float64 vector."""
    return torch.cat([x.detach().double().flatten() for x in tensors.values()])
