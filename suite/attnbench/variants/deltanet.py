"""DeltaNet: linear attention that corrects what its state says of a key, instead of adding to it, by the delta rule.

h_i = h_{i-1} + beta_i k_i (v_i - h_{i-1}^T k_i)^T, out_i = q_i h_i / sqrt(d), with beta_i = sigmoid(w . x_i) for each head, x_i the hidden
state of token i. q and k are brought to unit length, as x / sqrt(|x|^2 + 1e-6). It is causal only.

It is the mixing of the paper's layer alone: the layer also has a short convolution and SiLU before q, k and v, and a norm after it. As in
the reference implementation w has no bias and starts as torch starts a linear layer.

Yang, Wang, Zhang, Shen, Kim 2024, Parallelizing Linear Transformers with the Delta Rule, arXiv 2406.06484.
"""

from __future__ import annotations

import torch
from torch import nn

from attnbench.attention import Heads, Matrix, PaddingMask, Shape, Variant, hide_padding, require_causal
from attnbench.kernels.delta_rule import delta_rule
from attnbench.kernels.delta_rule_definition import matrix_by, matrix_of, rows_by_recurrence
from attnbench.kernels.delta_rule_step import DeltaState
from attnbench.kernels.gates import Gates, Hidden, gate_inputs, gate_map, linear_start, width_of


class DeltaNet(nn.Module):
    """w: [num_heads, d_model]."""

    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        self.w = nn.Parameter(linear_start(num_heads, d_model))

    def forward(
        self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None, *, hidden: Hidden
    ) -> Heads:
        require_causal(causal, "deltanet")
        q, k, v = hide_padding(padding_mask, q, k, v)
        return delta_rule(q, k, v, self._beta(hidden, padding_mask))

    def init_state(self, batch_size: int) -> DeltaState:
        return DeltaState(batch_size)

    def prefill(self, q: Heads, k: Heads, v: Heads, *, hidden: Hidden) -> DeltaState:
        return DeltaState(q.shape[0]).add(k, v, self._beta(hidden, None))

    def step(self, q: Heads, k: Heads, v: Heads, state: DeltaState, *, hidden: Hidden) -> tuple[Heads, DeltaState]:
        state = state.add(k, v, self._beta(hidden, None))
        return state.read(q, v.dtype), state

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None, *, hidden: Hidden) -> Matrix:
        require_causal(causal, "deltanet")
        q, k = hide_padding(padding_mask, q, k)
        return matrix_of(q, k, self._beta(hidden, padding_mask), None)

    def _beta(self, hidden: Hidden, padding_mask: PaddingMask | None) -> Gates:
        """beta in float32 or wider; 0 at padding, so that nothing is written there."""
        beta = gate_map(gate_inputs(hidden, padding_mask), self.w).sigmoid().mT
        return beta if padding_mask is None else beta.masked_fill(padding_mask[:, None], 0.0)


def gates_by_definition(module: nn.Module, hidden: Hidden) -> tuple[Gates, None]:
    """1 / (1 + e^{-w . x}), and no decay."""
    logits = torch.einsum("bnm,hm->bhn", hidden, module.get_parameter("w").to(hidden.dtype))
    return 1.0 / (1.0 + (-logits).exp()), None


def build(shape: Shape) -> nn.Module:
    return DeltaNet(shape.num_heads, width_of(shape))


VARIANT = Variant(
    build=build,
    citation="Yang, Wang, Zhang, Shen, Kim 2024, Parallelizing Linear Transformers with the Delta Rule, arXiv 2406.06484",
    family="linear",
    formula=(
        r"q_{i} h_{i} / \sqrt{d},\quad h_{i} = h_{i-1} + \beta_{i} k_{i} (v_{i} - h_{i-1}^{\top} k_{i})^{\top},\quad "
        r"\beta_{i} = \sigma(w \cdot x_{i})"
    ),
    causal="only",
    normalises_rows=False,
    equivariant=False,
    time_exponent=1.0,
    memory_exponent=1.0,
    needs_hidden=True,
    reference=matrix_by(gates_by_definition),
    reference_rows=rows_by_recurrence(gates_by_definition),
)
