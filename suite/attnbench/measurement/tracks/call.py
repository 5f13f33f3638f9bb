"""One attention call at a kernel cell's shape: a forward pass, or a training step."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from attnbench.measurement.inputs import RolledInputs
from attnbench.measurement.tracks import require_backward
from attnbench.measurement.tracks.mechanism import Mechanism
from attnbench.measurement.verify.closeness import Verified
from attnbench.measurement.verify.kernel import KeptCall, verify_call
from attnbench.spec.axes import Spec

GRAM_COLUMNS = 512  # of a matrix, whose products with all others are computed at once
LARGEST_MATRIX = 2**26  # numbers, all heads together, of a matrix whose norms are taken: four heads of 4,096


class KernelTrial:
    """A forward pass without gradients or, in training, a forward and a backward pass. Inputs: q, k, v, and hidden if needed.

    padding_mask: of the cell's share of padding, on the right of each sequence; None in a cell without.
    """

    def __init__(self, spec: Spec, source: str) -> None:
        self.mechanism = Mechanism(spec, source)
        self.causal, self.training = spec.causal, spec.mode == "training"
        if self.training:
            require_backward(self.mechanism.variant)
        self.tolerance = self.mechanism.tolerance
        self.padding_mask = padding_mask(spec)
        self.shape = self.mechanism.heads(self.mechanism.seq_len)
        self.inputs = RolledInputs(self.mechanism.draw_inputs(self.mechanism.seq_len), self.training)
        self.upstream = self.mechanism.draw(self.shape)

    def call(self, _: int) -> Tensor:
        return self._run(self.inputs.tensors)

    def go_on(self) -> None:
        """Nothing: a call goes on from no other."""

    def clear(self) -> None:
        for x in (*self.inputs.tensors, *self.mechanism.module.parameters()):
            x.grad = None

    def results(self, out: Tensor) -> list[Tensor]:
        return self._with_gradients(out, self.inputs.tensors)

    def repeat(self, inputs: list[Tensor]) -> list[Tensor]:
        self.clear()
        return self._with_gradients(self._run(inputs), inputs)

    def verify(self, inputs: list[Tensor], results: list[Tensor]) -> Verified:
        """See kernel.verify_call."""
        mask = padding_mask(self.mechanism.spec)  # another: the mechanism was given the first
        call = KeptCall(inputs, results, self.causal, mask, self.upstream if self.training else None, self._again(inputs))
        return verify_call(self.mechanism.original, call)

    def theory_bytes(self) -> float:
        """Bytes that a forward pass allocates by what is claimed: the output, and one matrix where memory grows as seq_len squared."""
        batch, heads, seq_len, head_dim = self.shape
        matrix = seq_len if self.mechanism.variant.memory_exponent >= 2 else 0
        return float(batch * heads * seq_len * (head_dim + matrix) * self.mechanism.dtype.itemsize)

    def matrix_norms(self) -> dict[str, list[float]]:
        """||A||_F and ||A^T A - I||_F of every head, of the first sequence of the inputs, in the cell's dtype.

        Nothing without a matrix or with a large one, and no norm that is not finite.
        """
        q, k, _, *more = (x.detach()[:1] for x in self.inputs.tensors)
        matrix_of = getattr(self.mechanism.module, "matrix", None)
        if matrix_of is None or q.shape[1] * self.mechanism.seq_len**2 > LARGEST_MATRIX:
            return {}
        with torch.no_grad():
            heads = matrix_of(q, k, causal=self.causal, **({"hidden": more[0]} if more else {}))[0]
        found = {
            "attention_frobenius": [float(torch.linalg.vector_norm(a, dtype=torch.float64)) for a in heads],
            "orthogonality_error": [orthogonality_error(a) for a in heads],
        }
        return {name: norms for name, norms in found.items() if all(map(math.isfinite, norms))}

    def _run(self, inputs: list[Tensor], upstream: Tensor | None = None) -> Tensor:
        with torch.set_grad_enabled(self.training):
            out = self.mechanism.attend(inputs, self.causal, self.padding_mask)
            if self.training:
                out.backward(self.upstream if upstream is None else upstream)
        return out

    def _again(self, inputs: list[Tensor]) -> Callable[[Tensor], list[Tensor]]:
        """A function that gives the results for these inputs with another upstream gradient."""

        def results(upstream: Tensor) -> list[Tensor]:
            self.clear()
            leaves = [x.detach().clone().requires_grad_() for x in inputs]
            return self._with_gradients(self._run(leaves, upstream), leaves)

        return results

    def _with_gradients(self, out: Tensor, inputs: list[Tensor]) -> list[Tensor]:
        """The output and, in training, the gradients by the inputs and by the module's parameters."""
        if not self.training:
            return [out]
        wanted = [*inputs, *(p for p in self.mechanism.module.parameters() if p.requires_grad)]
        return [out.detach(), *(torch.zeros_like(x) if x.grad is None else x.grad for x in wanted)]


def padding_mask(spec: Spec) -> Tensor | None:
    """True where a token is padding, [batch, seq_len]; None for a cell without."""
    if not spec.padded:
        return None
    assert spec.seq_len is not None
    lengths = torch.tensor(spec.lengths(), device=spec.device)
    return torch.arange(spec.seq_len, device=spec.device) >= lengths[:, None]


def orthogonality_error(a: Tensor) -> float:
    """||A^T A - I||_F. A^T A is symmetric: what stands above its diagonal blocks counts twice, and the rest is not computed."""
    a = a.to(torch.promote_types(a.dtype, torch.float32))
    squares, start = 0.0, 0
    for block in a.split(GRAM_COLUMNS, -1):
        gram, width = block.mT @ a[:, start:], block.shape[-1]
        gram.diagonal().sub_(1)
        own, above = (float(torch.linalg.vector_norm(x, dtype=torch.float64)) for x in (gram[:, :width], gram[:, width:]))
        squares += own**2 + 2 * above**2
        start += width
    return math.sqrt(squares)
