"""Linear attention with elu + 1: the first kernel in place of softmax, linear in seq_len.

out_i = phi(q_i) . sum_j phi(k_j) v_j^T / phi(q_i) . sum_j phi(k_j), phi(x) = elu(x) + 1, elementwise and positive. No 1/sqrt(d).

Katharopoulos, Vyas, Pappas, Fleuret 2020, arXiv 2006.16236.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnbench.attention import Heads, Matrix, PaddingMask, Variant, at_least_float32, hide_padding
from attnbench.kernels.definition import Seen, Weights, rows_of_matrix
from attnbench.kernels.linear import kernel_attention, kernel_matrix
from attnbench.kernels.running_sums import RunningSums


class LinearElu(nn.Module):
    """No parameters. A row whose weights all but underflow (in float32 a query below about -70 throughout) is zero."""

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        q, k, v = hide_padding(padding_mask, q, k, v)
        return kernel_attention(elu_plus_one(q), elu_plus_one(k), v, causal, padding_mask)

    def init_state(self, batch_size: int) -> RunningSums:
        return RunningSums(batch_size)

    def prefill(self, q: Heads, k: Heads, v: Heads) -> RunningSums:
        return RunningSums(q.shape[0]).add(elu_plus_one(k), v)

    def step(self, q: Heads, k: Heads, v: Heads, state: RunningSums) -> tuple[Heads, RunningSums]:
        state = state.add(elu_plus_one(k), v)
        return state.attend(elu_plus_one(q), v.dtype), state

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        q, k = hide_padding(padding_mask, q, k)
        return kernel_matrix(elu_plus_one(q), elu_plus_one(k), causal, padding_mask).to(q.dtype)


def elu_plus_one(x: Tensor) -> Tensor:
    """elu(x) + 1 as e^min(x, 0) + max(x, 0): below -17 the float32 elu is -1, and adding 1 would leave nothing."""
    x = at_least_float32(x)
    return x.clamp(max=0.0).exp() + x.relu()


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """phi(q) . phi(k), its rows normalised; phi written as e^x below 0 and x + 1 above."""
    q, k = (torch.where(x > 0.0, x + 1.0, x.clamp(max=0.0).exp()) for x in (seen.q, seen.k))
    return seen.normalised(q @ k.mT)


VARIANT = Variant(
    build=lambda shape: LinearElu(),
    citation="Katharopoulos, Vyas, Pappas, Fleuret 2020, Transformers are RNNs, arXiv 2006.16236",
    family="linear",
    formula=r"\varphi(Q) (\varphi(K)^{\top} V) / \varphi(Q) \sum \varphi(K), \varphi = \operatorname{elu} + 1",
    causal=True,
    normalises_rows=True,
    equivariant=True,
    time_exponent=1.0,
    memory_exponent=1.0,
    reference_rows=rows_of_matrix(rows_by_definition),
)
