"""Gated DeltaNet: linear attention whose state fades at a rate that each token sets, and is corrected by the delta rule.

h_i = e^{g_i} h_{i-1} + beta_i k_i (v_i - e^{g_i} h_{i-1}^T k_i)^T, out_i = q_i h_i / sqrt(d): the state fades before the delta rule's step
and before it is read. For each head beta_i = sigmoid(w_beta . x_i) and g_i = -e^a softplus(w_decay . x_i + b), x_i the hidden state of
token i. q and k are brought to unit length, as x / sqrt(|x|^2 + 1e-6). It is causal only.

It is the mixing of the paper's layer alone: the layer also has a short convolution and SiLU before q, k and v, and a gated norm after it.
The starts are those of the reference implementation: e^a uniform in (0, 16], softplus(b) log-uniform in [0.001, 0.1], w_beta and w_decay as
torch starts a linear layer; w_beta has no bias.

Yang, Kautz, Hatamizadeh 2024, Gated Delta Networks: Improving Mamba2 with Delta Rule, arXiv 2412.06464.
"""

from __future__ import annotations

import torch
from torch import nn

from attnbench.attention import Heads, Matrix, PaddingMask, Shape, Variant, hide_padding, require_causal
from attnbench.kernels.delta_rule import delta_rule
from attnbench.kernels.delta_rule_definition import matrix_by, matrix_of, rows_by_recurrence
from attnbench.kernels.delta_rule_step import DeltaState
from attnbench.kernels.gates import Gates, Hidden, gate_inputs, gate_map, linear_start, softplus, step_start, width_of

LARGEST_RATE = 16.0  # of e^a


class GatedDeltaNet(nn.Module):
    """w_beta, w_decay: [num_heads, d_model]; a, b: [num_heads]."""

    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        b = step_start(num_heads)
        self.w_beta, self.w_decay = (nn.Parameter(linear_start(num_heads, d_model)) for _ in range(2))
        self.a = nn.Parameter((LARGEST_RATE * (1.0 - torch.rand(num_heads))).log())  # never of 0
        self.b = nn.Parameter(b)

    def forward(
        self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None, *, hidden: Hidden
    ) -> Heads:
        require_causal(causal, "gated_deltanet")
        q, k, v = hide_padding(padding_mask, q, k, v)
        return delta_rule(q, k, v, *self._gates(hidden, padding_mask))

    def init_state(self, batch_size: int) -> DeltaState:
        return DeltaState(batch_size)

    def prefill(self, q: Heads, k: Heads, v: Heads, *, hidden: Hidden) -> DeltaState:
        return DeltaState(q.shape[0]).add(k, v, *self._gates(hidden, None))

    def step(self, q: Heads, k: Heads, v: Heads, state: DeltaState, *, hidden: Hidden) -> tuple[Heads, DeltaState]:
        state = state.add(k, v, *self._gates(hidden, None))
        return state.read(q, v.dtype), state

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None, *, hidden: Hidden) -> Matrix:
        require_causal(causal, "gated_deltanet")
        q, k = hide_padding(padding_mask, q, k)
        return matrix_of(q, k, *self._gates(hidden, padding_mask))

    def _gates(self, hidden: Hidden, padding_mask: PaddingMask | None) -> tuple[Gates, Gates]:
        """beta and g in float32 or wider; both 0 at padding, so that the state stays as it is."""
        x = gate_inputs(hidden, padding_mask)
        beta = gate_map(x, self.w_beta).sigmoid().mT
        log_decay = (softplus(gate_map(x, self.w_decay, self.b)) * -self.a.to(x.dtype).exp()).mT
        if padding_mask is not None:
            beta, log_decay = (gate.masked_fill(padding_mask[:, None], 0.0) for gate in (beta, log_decay))
        return beta, log_decay


def gates_by_definition(module: nn.Module, hidden: Hidden) -> tuple[Gates, Gates]:
    """1 / (1 + e^{-w_beta . x}), and -e^a log(1 + e^{w_decay . x + b})."""
    w_beta, w_decay, a, b = (module.get_parameter(name).to(hidden.dtype) for name in ("w_beta", "w_decay", "a", "b"))
    logits, steps = (torch.einsum("bnm,hm->bhn", hidden, w) for w in (w_beta, w_decay))
    steps = steps + b[:, None]
    return 1.0 / (1.0 + (-logits).exp()), -a.exp()[:, None] * torch.logaddexp(steps, torch.zeros_like(steps))


def build(shape: Shape) -> nn.Module:
    return GatedDeltaNet(shape.num_heads, width_of(shape))


VARIANT = Variant(
    build=build,
    citation="Yang, Kautz, Hatamizadeh 2024, Gated Delta Networks: Improving Mamba2 with Delta Rule, arXiv 2412.06464",
    family="linear",
    formula=(
        r"q_{i} h_{i} / \sqrt{d},\quad h_{i} = e^{g_{i}} h_{i-1} + \beta_{i} k_{i} (v_{i} - e^{g_{i}} h_{i-1}^{\top} k_{i})^{\top},\quad "
        r"g_{i} = -e^{a} \operatorname{softplus}(w \cdot x_{i} + b)"
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
