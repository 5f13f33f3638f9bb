"""The delta rule, gated or not, in chunks: forward and backward linear in seq_len, and never a loop over tokens.

    h_t = e^{g_t} h_{t-1} + k_t u_t^T,    u_t = beta_t (v_t - e^{g_t} h_{t-1}^T k_t),    o_t = q_t h_t / sqrt(d)

with q and k of unit length. In a chunk before which the state is S, with G_i the sum of its g through token i and D_ij = e^{G_i - G_j}:

    (I + L) U = diag(beta) V - diag(beta e^G) K S,    L_ij = beta_i D_ij k_i . k_j for j < i
    O = (lower part of Q K^T * D) U + diag(e^G) Q S,    S' = e^{G_last} S + (diag(e^{G_last - G}) K)^T U

This is the WY form of a product of matrices e^g (I - beta k k^T). The unit triangular systems of many chunks are solved at once, and a loop
over the chunks takes the state through. Every decay is the exponential of a difference that is not positive.

Spans of chunks that stay in the processor's cache are worked on one after the other. For the backward pass only the state before each span
is kept; it computes the rest anew, from the last span to the first.

Yang, Wang, Zhang, Shen, Kim 2024, arXiv 2406.06484; Yang, Kautz, Hatamizadeh 2024, arXiv 2412.06464.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from attnbench.attention import at_least_float32, without_autocast
from attnbench.kernels.batching import by_folding
from attnbench.kernels.chunk_decay import ChunkDecay
from attnbench.kernels.delta_rule_span import SolvedSpan
from attnbench.kernels.gates import Gates

CHUNK = 32  # tokens at most; measured on the CPU for heads of 64: chunks of 16 and 64 take 1.1 to 1.3 times as long
# Of the queries in a span: some tensors as large are at work at once. Measured on the CPU; a GPU, not measured, needs more to do at once.
SPAN_NUMBERS = {"cpu": 2**17, "cuda": 2**22}
EPS = 1e-6  # under the root of a length, as in the authors' code

Rows = Float[Tensor, "batch heads seq_len head_dim"]
Values = Float[Tensor, "batch heads seq_len value_dim"]
State = Float[Tensor, "batch heads head_dim value_dim"]


def delta_rule(q: Rows, k: Rows, v: Values, beta: Gates, log_decay: Gates | None = None) -> Values:
    """The rows o_t in the dtype of v. q and k are brought to unit length here, half precision is worked in float32.

    beta, log_decay: in float32 or wider; log_decay is at most 0, None is 0 throughout. Differentiable in everything, but not twice; the
    gradient by a beta of exactly 0, as a sigmoid that underflows gives, is 0.
    A padded token has q = k = 0, beta = 0, log_decay = 0: it leaves the state as it is, and its row is zero.
    """
    with without_autocast(v.device):
        out: Tensor = _DeltaRule.apply(q, k, v, beta, log_decay, torch.is_grad_enabled())[0]  # type: ignore[no-untyped-call]
    return out


def delta_rule_state(k: Rows, v: Values, beta: Gates, log_decay: Gates | None = None) -> State:
    """The state after the last token, in float32 or wider, without gradients."""
    with torch.no_grad(), without_autocast(v.device):
        cutting, state = Cutting.of(k), _first_state(k, v)
        for span in cutting.spans:
            state = _solve(cutting, span, Unit(cutting.cut(k, span)), v, beta, log_decay, state).states[-1]
    return state.unflatten(0, k.shape[:2])


class Unit:
    """Rows brought to unit length: x / sqrt(|x|^2 + EPS), so that a row of zeros stays zero."""

    def __init__(self, x: Float[Tensor, "*tokens head_dim"]) -> None:
        self._factor = x.square().sum(-1, keepdim=True).add_(EPS).rsqrt_()
        self.rows = x * self._factor

    def gradient(self, by_rows: Float[Tensor, "*tokens head_dim"]) -> Float[Tensor, "*tokens head_dim"]:
        """The gradient by x, given that by the rows."""
        return self._factor * (by_rows - self.rows * (self.rows * by_rows).sum(-1, keepdim=True))


@dataclass(frozen=True)
class Cutting:
    """Sequences cut into chunks of `size` tokens, and into spans of some chunks each. The last chunk may lack tokens."""

    size: int
    spans: Sequence[slice]

    @classmethod
    def of(cls, k: Rows) -> Cutting:
        """Chunks of about the same size, and spans of SPAN_NUMBERS, but of one chunk at least."""
        batch, heads, seq_len, head_dim = k.shape
        size = math.ceil(seq_len / max(1, math.ceil(seq_len / CHUNK))) or 1
        numbers = SPAN_NUMBERS["cpu" if k.device.type == "cpu" else "cuda"]
        tokens = size * max(1, numbers // max(1, batch * heads * size * head_dim))
        return cls(size, [slice(start, min(seq_len, start + tokens)) for start in range(0, seq_len, tokens)])

    def cut(self, x: Float[Tensor, "batch heads seq_len *width"], span: slice) -> Float[Tensor, "chunks rows size *width"]:
        """The chunks of a span, in float32 or wider; tokens that the last one lacks are zero."""
        x = x[:, :, span]
        missing = -x.shape[2] % self.size
        if missing:
            x = F.pad(x, (0, 0) * (x.dim() - 3) + (0, missing))
        return at_least_float32(x.unflatten(2, (-1, self.size)).movedim(2, 0).contiguous()).flatten(1, 2)


def _put(into: Tensor, span: slice, chunks: Float[Tensor, "chunks rows size *width"]) -> None:
    """Write the chunks of a span to their place in [batch, heads, seq_len, ...]."""
    place = into[:, :, span]
    place.copy_(chunks.unflatten(1, into.shape[:2]).movedim(0, 2).flatten(2, 3)[:, :, : place.shape[2]])


def _first_state(k: Rows, v: Values) -> Float[Tensor, "rows head_dim value_dim"]:
    return at_least_float32(v).new_zeros(k.shape[0] * k.shape[1], k.shape[-1], v.shape[-1])


def _solve(cutting: Cutting, span: slice, k: Unit, v: Tensor, beta: Tensor, log_decay: Tensor | None, state: Tensor) -> SolvedSpan:
    decay = ChunkDecay(None if log_decay is None else cutting.cut(log_decay, span))
    return SolvedSpan(k.rows, cutting.cut(v, span), cutting.cut(beta, span), decay, state)


class _DeltaRule(torch.autograd.Function):
    """The output and the state before each span, [batch, heads, spans, head_dim, value_dim]; none of these where nothing is `kept`."""

    @staticmethod
    def forward(q: Rows, k: Rows, v: Values, beta: Gates, log_decay: Gates | None, keep: bool) -> tuple[Values, Tensor]:
        cutting, state = Cutting.of(k), _first_state(k, v)
        out = torch.empty_like(v)
        kept = state.new_empty(*k.shape[:2], len(cutting.spans) if keep else 0, *state.shape[1:])
        for i, span in enumerate(cutting.spans):
            if keep:
                kept[:, :, i] = state.unflatten(0, k.shape[:2])
            solved = _solve(cutting, span, Unit(cutting.cut(k, span)), v, beta, log_decay, state)
            _put(out, span, solved.read(Unit(cutting.cut(q, span)).rows) / math.sqrt(q.shape[-1]))
            state = solved.states[-1]
        return out, kept

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*inputs[:5], output[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_out: Values | None, _: None) -> tuple[Tensor | None, ...]:
        if by_out is None:
            return (None,) * 6
        q, k, v, beta, log_decay, kept = ctx.saved_tensors
        found = [None if x is None else torch.empty_like(x) for x in (q, k, v, beta, log_decay)]
        cutting, by_last = Cutting.of(k), torch.zeros_like(kept[:, :, 0]).flatten(0, 1)
        with without_autocast(v.device):
            for i, span in reversed(list(enumerate(cutting.spans))):
                unit_q, unit_k = Unit(cutting.cut(q, span)), Unit(cutting.cut(k, span))
                solved = _solve(cutting, span, unit_k, v, beta, log_decay, kept[:, :, i].flatten(0, 1))
                by = solved.gradients(unit_q.rows, cutting.cut(by_out, span) / math.sqrt(q.shape[-1]), by_last)
                by_last = by.state
                parts = (unit_q.gradient(by.q), unit_k.gradient(by.k), by.v, by.beta, by.log_decay)
                for into, part in zip(found, parts, strict=True):
                    if into is not None and part is not None:
                        _put(into, span, part)
        return (*found, None)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        return by_folding(_DeltaRule, info, in_dims, inputs)
