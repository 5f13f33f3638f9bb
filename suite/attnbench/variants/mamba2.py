"""Mamba-2: linear attention whose keys fade at a rate that each token sets for its head, and count as much as the token says.

S_i = e^{-e^a dt_i} S_{i-1} + dt_i k_i v_i^T, out_i = q_i S_i + D v_i, dt_i = softplus(w . x_i + b), x_i the hidden state of token i. So
out_i = sum_{j <= i} (q_i . k_j) e^{-e^a (dt_{j+1} + ... + dt_i)} dt_j v_j + D v_i, without 1/sqrt(d). It is causal only.

q, k, v are the paper's C, B, x. It is the mixing of the paper's layer alone: the layer also has a short convolution before q, k and v, one
pair of q and k for all heads, and a gated norm after it; here a token shift is a model's option for all mechanisms. The starts are those of
the reference implementation: e^a uniform in [1, 16], softplus(b) log-uniform in [0.001, 0.1], D = 1, w as torch starts a linear layer.

Dao and Gu 2024, Transformers are SSMs, arXiv 2405.21060.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attnbench.attention import (
    Heads,
    Matrix,
    PaddingMask,
    Shape,
    Variant,
    at_least_float32,
    hide_padded_tokens,
    hide_padding,
    hide_unseen,
    require_causal,
)
from attnbench.kernels.decay_state import DecayState
from attnbench.kernels.decay_sums import decay_sums
from attnbench.kernels.definition import Rows, per_head, see
from attnbench.kernels.gates import Hidden, gate_inputs, gate_map, linear_start, softplus, step_start, width_of

PerToken = Float[Tensor, "batch heads seq_len 1"]

RATES = (1.0, 16.0)  # of e^a


class Mamba2(nn.Module):
    """w: [num_heads, d_model]; a, b, d: [num_heads]."""

    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        b = step_start(num_heads)
        self.w = nn.Parameter(linear_start(num_heads, d_model))
        self.b = nn.Parameter(b)
        self.a = nn.Parameter(torch.empty(num_heads).uniform_(*RATES).log())
        self.d = nn.Parameter(torch.ones(num_heads))

    def forward(
        self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None, *, hidden: Hidden
    ) -> Heads:
        require_causal(causal, "mamba2")
        q, k, v = hide_padding(padding_mask, q, k, v)
        dt, log_decay = self._steps(hidden, padding_mask)
        out = decay_sums(q, at_least_float32(k) * dt, at_least_float32(v), log_decay)
        return (out + per_head(self, "d", out) * v).to(v.dtype)

    def init_state(self, batch_size: int) -> DecayState:
        return DecayState(batch_size)

    def prefill(self, q: Heads, k: Heads, v: Heads, *, hidden: Hidden) -> DecayState:
        dt, log_decay = self._steps(hidden, None)
        return DecayState(q.shape[0]).add(at_least_float32(k) * dt, v, log_decay)

    def step(self, q: Heads, k: Heads, v: Heads, state: DecayState, *, hidden: Hidden) -> tuple[Heads, DecayState]:
        dt, log_decay = self._steps(hidden, None)
        state = state.add(at_least_float32(k) * dt, v, log_decay)
        out = state.read(q)
        return (out + per_head(self, "d", out) * v).to(v.dtype), state

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None, *, hidden: Hidden) -> Matrix:
        require_causal(causal, "mamba2")
        q, k = hide_padding(padding_mask, q, k)
        dt, log_decay = self._steps(hidden, padding_mask)
        sums = log_decay.double().cumsum(2)
        fading = (sums - sums.mT).tril().exp().to(q.dtype)  # above the diagonal it could overflow
        skip = per_head(self, "d", q) * torch.eye(q.shape[2], dtype=q.dtype, device=q.device)
        return hide_unseen(q @ (k * dt).mT * fading + skip, causal, padding_mask).to(q.dtype)

    def _steps(self, hidden: Hidden, padding_mask: PaddingMask | None) -> tuple[PerToken, PerToken]:
        """dt and the logarithm of the decay, in float32 or wider; at padding nothing decays."""
        dt = softplus(gate_map(gate_inputs(hidden, padding_mask), self.w, self.b).mT.contiguous())[..., None]
        (log_decay,) = hide_padding(padding_mask, dt * -per_head(self, "a", dt).exp())
        return dt, log_decay


def reference_rows(
    module: nn.Module, q: Heads, k: Heads, v: Heads, rows: Rows, causal: bool, padding_mask: PaddingMask | None, hidden: Hidden
) -> Float[Tensor, "batch heads rows head_dim"]:
    """(q_i . k_j) e^{G_i - G_j} dt_j over the keys up to the row, G the sum of all logarithms of decays; and D v_i."""
    require_causal(causal, "mamba2")
    seen = see(q, k, v, rows, causal, padding_mask)
    x = at_least_float32(hide_padded_tokens(padding_mask, hidden))
    w, b, a = (module.get_parameter(name).to(x.dtype) for name in "wba")
    logits = (x @ w.mT + b).mT  # [batch, heads, seq_len]
    dt = torch.logaddexp(logits, torch.zeros_like(logits)).masked_fill(seen.padding[:, None], 0.0)
    sums = -(a.exp()[:, None] * dt).double().cumsum(-1)
    fading = (sums[..., rows, None] - sums[..., None, :]).masked_fill(~seen.visible, -math.inf).exp()
    weights = seen.q @ seen.k.mT * (fading * dt[..., None, :]).to(seen.q.dtype)
    skip = per_head(module, "d", seen.v) * seen.v[..., rows, :]
    return seen.without_padding(weights @ seen.v + skip)


def build(shape: Shape) -> nn.Module:
    return Mamba2(shape.num_heads, width_of(shape))


VARIANT = Variant(
    build=build,
    citation="Dao and Gu 2024, Transformers are SSMs, arXiv 2405.21060",
    family="linear",
    formula=(
        r"q_{i} S_{i} + D v_{i},\quad S_{i} = e^{-e^{a} \Delta_{i}} S_{i-1} + \Delta_{i} k_{i} v_{i}^{\top},\quad "
        r"\Delta_{i} = \operatorname{softplus}(w \cdot x_{i} + b)"
    ),
    causal="only",
    normalises_rows=False,
    equivariant=False,
    time_exponent=1.0,
    memory_exponent=1.0,
    needs_hidden=True,
    reference_rows=reference_rows,
)
