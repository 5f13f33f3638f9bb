"""Uniform attention: every token receives the mean of all values it may see; a control, mixing that looks at nothing.

A_ij = 1 / N, N the number of unpadded keys that the row may see, out = A V. Sums, or running sums when causal, in time linear in seq_len.
Queries and keys are not read, and W_Q and W_K learn nothing. It is softmax attention with all scores equal.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attnbench.attention import Heads, Matrix, PaddingMask, Variant, at_least_float32, count_visible, hide_padding, hide_unseen
from attnbench.kernels.definition import Seen, Weights, rows_of_matrix
from attnbench.kernels.state_batch import require_batch_size
from attnbench.kernels.visible_mean import visible_mean


@dataclass(frozen=True)
class RunningMean:
    """The sum of the values of the first `length` tokens of `batch_size` sequences, [batch, heads, 1, head_dim], in float32 or wider."""

    batch_size: int
    length: int = 0
    total: Tensor | None = None

    def add(self, v: Heads) -> RunningMean:
        """The state with one token more, or several. Raises BadInput when there are not batch_size sequences."""
        require_batch_size(v, self.batch_size)
        added = at_least_float32(v).sum(-2, keepdim=True)
        return RunningMean(self.batch_size, self.length + v.shape[-2], added if self.total is None else self.total + added)


class Uniform(nn.Module):
    """No parameters."""

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        (v,) = hide_padding(padding_mask, v)
        return hide_padding(padding_mask, visible_mean(v, causal, padding_mask).expand_as(v))[0].contiguous()

    def init_state(self, batch_size: int) -> RunningMean:
        return RunningMean(batch_size)

    def prefill(self, q: Heads, k: Heads, v: Heads) -> RunningMean:
        return RunningMean(q.shape[0]).add(v)

    def step(self, q: Heads, k: Heads, v: Heads, state: RunningMean) -> tuple[Heads, RunningMean]:
        state = state.add(v)
        assert state.total is not None
        return (state.total / state.length).to(v.dtype), state

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        seq_len = q.shape[-2]
        share = 1.0 / count_visible(seq_len, causal, padding_mask, q.device)
        return hide_unseen(share.to(q.dtype).expand(*q.shape[:2], seq_len, seq_len), causal, padding_mask)


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """The softmax of scores that are all 0."""
    return seen.softmax(torch.zeros_like(seen.visible, dtype=seen.q.dtype))


VARIANT = Variant(
    build=lambda shape: Uniform(),
    citation="A control of this suite",
    family="other",
    formula=r"\tfrac{1}{N} \mathbf{1} \mathbf{1}^{\top} V",
    causal=True,
    normalises_rows=True,
    equivariant=True,
    reads_qk=False,
    time_exponent=1.0,
    memory_exponent=1.0,
    reference_rows=rows_of_matrix(rows_by_definition),
)
