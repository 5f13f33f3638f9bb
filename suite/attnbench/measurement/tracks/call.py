"""One attention call at a kernel cell's shape: a forward pass, a training step, or one token against a state."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from attnbench import registry
from attnbench.attention import Shape, Variant, prefilled
from attnbench.measurement.anew import Blueprint, Original
from attnbench.measurement.inputs import RolledInputs
from attnbench.measurement.reference import TOLERANCE, check_error, check_finite, check_step
from attnbench.measurement.tracks import require_backward
from attnbench.spec.axes import Spec

LARGEST_MATRIX = 2**26  # numbers, all heads together, of a matrix whose norms are taken: four heads of 4,096


class Mechanism:
    """What the trials of a kernel cell share: the module, built for the cell's shape, dtype and device, and random tensors of these."""

    def __init__(self, spec: Spec, source: str) -> None:
        assert spec.seq_len is not None
        self.spec, self.seq_len, self.dtype = spec, spec.seq_len, getattr(torch, spec.dtype)
        self.variant: Variant = registry.load("variants", source)
        context = {"seq_len": spec.seq_len, "d_model": spec.d_model, "layer_index": 0, "num_layers": 1}
        blueprint = Blueprint(source, Shape(spec.num_heads, spec.head_dim, **context), spec.params)
        self.original = Original(blueprint, spec.device, self.dtype)
        self.module: nn.Module = self.original.module

    def heads(self, tokens: int) -> torch.Size:
        """Shape of q, k, v and the output for some tokens."""
        return torch.Size((self.spec.batch_size, self.spec.num_heads, tokens, self.spec.head_dim))

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, device=self.spec.device, dtype=self.dtype)

    def draw_inputs(self, tokens: int) -> list[Tensor]:
        """q, k, v and, for a mechanism that needs it, hidden [batch, tokens, d_model]."""
        found = [self.draw(self.heads(tokens)) for _ in range(3)]
        if self.variant.needs_hidden:
            found.append(self.draw((self.spec.batch_size, tokens, self.spec.d_model)))
        return found


class KernelTrial:
    """A forward pass without gradients or, in training, a forward and a backward pass. Inputs: q, k, v, and hidden if needed."""

    def __init__(self, spec: Spec, source: str) -> None:
        self.mechanism = Mechanism(spec, source)
        self.causal, self.training = spec.causal, spec.mode == "training"
        if self.training:
            require_backward(self.mechanism.variant)
        self.tolerance = TOLERANCE[spec.dtype]
        self.shape = self.mechanism.heads(self.mechanism.seq_len)
        self.inputs = RolledInputs(self.mechanism.draw_inputs(self.mechanism.seq_len), -2, self.training)
        self.upstream = self.mechanism.draw(self.shape)

    def call(self, _: int) -> Tensor:
        return self._run(self.inputs.tensors)

    def clear(self) -> None:
        for x in (*self.inputs.tensors, *self.mechanism.module.parameters()):
            x.grad = None

    def results(self, out: Tensor) -> list[Tensor]:
        return self._with_gradients(out, self.inputs.tensors)

    def repeat(self, inputs: list[Tensor]) -> list[Tensor]:
        return self._with_gradients(self._run(inputs), inputs)

    def error(self, inputs: list[Tensor], results: list[Tensor]) -> float | None:
        """See reference.check_error."""
        check_finite(results)
        upstream = self.upstream if self.training else None
        return check_error(self.mechanism.original, inputs[:3], self.causal, upstream, results)

    def theory_bytes(self) -> float:
        """Bytes that a forward pass allocates by what is claimed: the output, and one matrix where memory grows as seq_len squared."""
        batch, heads, seq_len, head_dim = self.shape
        matrix = seq_len if self.mechanism.variant.memory_exponent >= 2 else 0
        return float(batch * heads * seq_len * (head_dim + matrix) * self.mechanism.dtype.itemsize)

    def matrix_norms(self) -> dict[str, list[float]]:
        """||A||_F and ||A^T A - I||_F of every head, of the first sequence of the inputs, in the cell's dtype.

        Nothing without a matrix or with a large one, and no norm that is not finite.
        """
        q, k = (x.detach()[:1] for x in self.inputs.tensors[:2])
        matrix_of = getattr(self.mechanism.module, "matrix", None)
        if matrix_of is None or q.shape[1] * self.mechanism.seq_len**2 > LARGEST_MATRIX:
            return {}
        with torch.no_grad():
            heads = matrix_of(q, k, causal=self.causal)[0]
        found = {
            "attention_frobenius": [float(torch.linalg.vector_norm(a, dtype=torch.float64)) for a in heads],
            "orthogonality_error": [_orthogonality_error(a) for a in heads],
        }
        return {name: norms for name, norms in found.items() if all(map(math.isfinite, norms))}

    def _run(self, inputs: list[Tensor]) -> Tensor:
        q, k, v, *more = inputs
        context = {"hidden": more[0]} if more else {}
        with torch.set_grad_enabled(self.training):
            out: Tensor = self.mechanism.module(q, k, v, causal=self.causal, **context)
            if self.training:
                out.backward(self.upstream)
        return out

    def _with_gradients(self, out: Tensor, inputs: list[Tensor]) -> list[Tensor]:
        if not self.training:
            return [out]
        return [out.detach(), *(torch.zeros_like(x) if x.grad is None else x.grad for x in inputs)]


def _orthogonality_error(a: Tensor) -> float:
    a = a.to(torch.promote_types(a.dtype, torch.float32))
    gram = a.mT @ a
    gram.diagonal().sub_(1)
    return float(torch.linalg.vector_norm(gram, dtype=torch.float64))


class DecodeTrial:
    """One token against the state that the seq_len - 1 tokens before it left. Inputs: its query, key and value, and hidden if needed."""

    def __init__(self, spec: Spec, source: str) -> None:
        self.mechanism = Mechanism(spec, source)
        self.tolerance = TOLERANCE[spec.dtype]
        self.shape = self.mechanism.heads(1)
        self.before = self.mechanism.draw_inputs(self.mechanism.seq_len - 1)
        self.inputs = RolledInputs(self.mechanism.draw_inputs(1), -1)
        self.state = self.fresh_state()

    def fresh_state(self) -> object:
        with torch.no_grad():
            return prefilled(self.mechanism.module, *self.before)

    def call(self, _: int) -> Tensor:
        return self._step(self.inputs.tensors, self.state)

    def clear(self) -> None:
        """Nothing: there are no gradients."""

    def results(self, out: Tensor) -> list[Tensor]:
        return [out]

    def repeat(self, inputs: list[Tensor]) -> list[Tensor]:
        return [self._step(inputs, self.fresh_state())]

    def error(self, inputs: list[Tensor], results: list[Tensor]) -> float | None:
        """See reference.check_step."""
        check_finite(results)
        whole = [torch.cat([x, token], -2) for x, token in zip(self.before[:3], inputs[:3], strict=True)]
        return check_step(self.mechanism.original, whole, results[0])

    def _step(self, inputs: list[Tensor], state: object) -> Tensor:
        q, k, v, *more = inputs
        context = {"hidden": more[0]} if more else {}
        with torch.no_grad():
            out, _ = self.mechanism.module.step(q, k, v, state, **context)  # type: ignore[operator]
        result: Tensor = out
        return result
