"""Decaying sums over the tokens so far, linear in seq_len: out_i = scale q_i . S_i, S_i = e^{g_i} S_{i-1} + k_i v_i^T, S_0 = 0.

g, the logarithm of the decay, is at most 0: one number a head and token (retention, Mamba-2) or one for each key dimension (gated linear
attention). The sequence is worked in segments that fit into the caches, each in chunks at once, see scalar_decay.py and vector_decay.py.
Only the state before each segment is kept; the backward pass goes through the segments from the last to the first and makes again what it
needs. Half precision is worked in float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from attnbench.attention import without_autocast
from attnbench.kernels import scalar_decay, vector_decay
from attnbench.kernels.batching import by_folding

Keys = Float[Tensor, "batch heads seq_len key_dim"]
Values = Float[Tensor, "batch heads seq_len value_dim"]
LogDecay = Float[Tensor, "#batch heads #seq_len #key_dim"]

SEGMENT_VALUES = {"cpu": 2**17, "cuda": 2**25}  # in the keys of a segment. On the CPU measured, of 2^15 to 2^20; on a GPU not


def decay_sums(q: Keys, k: Keys, v: Values, log_decay: LogDecay, scale: float = 1.0) -> Values:
    """The sums in the dtype of v, differentiable in q, k, v and log_decay.

    log_decay: [batch, heads, seq_len, 1 or key_dim], in float32 or wider, nowhere above 0; its batch may be 1. One token only, [1, heads,
    1, 1], means the same at every token, and has no gradient. Padded tokens must have k = 0 and log_decay = 0, so that they leave the
    state as it is.
    """
    assert log_decay.shape[2] == q.shape[2] or not log_decay.requires_grad
    log_decay = log_decay.expand(q.shape[0], -1, -1, -1)
    with without_autocast(q.device):
        out, _ = _DecaySums.apply(q, k, v, log_decay, scale)  # type: ignore[no-untyped-call]
    result: Tensor = out
    return result


@dataclass(frozen=True)
class _Work:
    """How the tokens are cut: the form, the tokens of a chunk, and those of a segment, a multiple of these."""

    form: ModuleType
    dtype: torch.dtype
    chunk: int
    segment: int
    seq_len: int

    @staticmethod
    def of(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor) -> _Work:
        form = scalar_decay if log_decay.shape[-1] == 1 else vector_decay
        device = "cpu" if q.device.type == "cpu" else "cuda"
        seq_len = q.shape[2]
        chunk = min(form.CHUNK[device], 1 << (seq_len - 1).bit_length())
        chunks = max(1, SEGMENT_VALUES[device] // (math.prod(k.shape[:2]) * k.shape[3] * chunk))
        dtype = torch.promote_types(torch.promote_types(q.dtype, k.dtype), torch.promote_types(v.dtype, torch.float32))
        return _Work(form, dtype, chunk, chunk * chunks, seq_len)

    def segments(self) -> list[slice]:
        starts = range(0, self.seq_len, self.segment)
        return [slice(start, min(start + self.segment, self.seq_len)) for start in starts]

    def cut(self, at: slice, scale: float, q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor) -> Iterator[Tensor]:
        """The tokens of a segment in whole chunks: those that are missing at the end are zero, and leave the state as it is."""
        yield self.part(q, at) * scale
        yield self.part(k, at)
        yield self.part(v, at)
        yield log_decay if log_decay.shape[2] < self.seq_len else self.part(log_decay, at)

    def part(self, x: Tensor, at: slice) -> Tensor:
        tokens = x[:, :, at].to(self.dtype)
        missing = -tokens.shape[2] % self.chunk
        return F.pad(tokens, (0, 0, 0, missing)) if missing else tokens


class _DecaySums(torch.autograd.Function):
    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """The output, and the state before each segment, [batch, heads, segments, key_dim, value_dim]."""
        work = _Work.of(q, k, v, log_decay)
        out = v.new_empty(v.shape)
        segments = work.segments()
        states = k.new_zeros(*k.shape[:2], len(segments), k.shape[3], v.shape[3], dtype=work.dtype)
        for index, at in enumerate(segments):
            q_, k_, v_, decay = work.cut(at, scale, q, k, v, log_decay)
            found, last = work.form.forward(q_, k_, v_, decay, work.chunk, states[:, :, index])
            out[:, :, at] = found[:, :, : at.stop - at.start]
            if index + 1 < len(segments):
                states[:, :, index + 1] = last
        return out, states

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        q, k, v, log_decay, ctx.scale = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(q, k, v, log_decay, output[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, log_decay, states = ctx.saved_tensors
        with without_autocast(q.device):
            return *_backward(q, k, v, log_decay, ctx.scale, states, d_out, ctx.needs_input_grad[3]), None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        return by_folding(_DecaySums, info, in_dims, inputs)


def _backward(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, scale: float, states: Tensor, d_out: Tensor, of_decay: bool
) -> tuple[Tensor | None, ...]:
    """The gradients by q, k, v and log_decay."""
    work = _Work.of(q, k, v, log_decay)
    gradients = [x.new_empty(x.shape) for x in (q, k, v)]
    if of_decay:
        gradients.append(log_decay.new_empty(log_decay.shape))
    d_state = torch.zeros_like(states[:, :, 0])
    for index, at in reversed(list(enumerate(work.segments()))):
        q_, k_, v_, decay = work.cut(at, scale, q, k, v, log_decay)
        upstream = work.part(d_out, at)
        *found, d_state = work.form.backward(q_, k_, v_, decay, work.chunk, states[:, :, index], upstream, d_state, of_decay)
        found[0].mul_(scale)
        for gradient, part in zip(gradients, found, strict=False):
            gradient[:, :, at] = part[:, :, : at.stop - at.start]
    return *gradients, *([] if of_decay else [None])
