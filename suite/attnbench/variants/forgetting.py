"""Forgetting attention (FoX): softmax attention whose scores fade by a forget gate of every token between the key and the query.

A = softmax over j <= i of s_ij + sum_{j < l <= i} log f_l, with s_ij = q_i . k_j / sqrt(d) and f_l = sigma(w_f . x_l + b_f) for each head,
x_l the hidden state of token l; out = A V. It is causal only and needs no positions. With c the running sum of log f the sum is c_i - c_j;
c is kept in float64, for it grows with the sequence and only differences count. Worked in tiles.

W_f starts normal with deviation 0.02 and b_f at 0, as every linear layer of the authors' implementation does, so that a gate starts near
1/2. It is the mixing of the paper's layer alone: its "Pro" block also shifts keys and values, and normalises and gates the output.

Lin, Nikishin, He, Courville 2025, Forgetting Transformer: Softmax Attention with a Forget Gate, arXiv 2503.02130.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from attnbench.attention import (
    Heads,
    Matrix,
    PaddingMask,
    Shape,
    Variant,
    at_least_float32,
    hide_padding,
    require_causal,
    visible_keys,
)
from attnbench.kernels.cache import Cache
from attnbench.kernels.definition import Rows, see
from attnbench.kernels.gates import Hidden, gate_inputs, gate_map, width_of
from attnbench.kernels.normalised import Exponential
from attnbench.kernels.packing import pack, unpack
from attnbench.kernels.tiled import normalised_sums

Gates = Float[Tensor, "batch heads seq_len 1"]

START_DEVIATION = 0.02


@dataclass(frozen=True)
class ForgettingState:
    """The keys and values so far, and beside them c of each token in float64, as keys of a cache whose values are of no width."""

    tokens: Cache
    sums: Cache

    def append(self, k: Heads, v: Heads, log_forget: Gates) -> ForgettingState:
        """The state with one token more, or several."""
        sums = log_forget.double().cumsum(2)
        if self.sums.length:
            sums = sums + self.sums.keys[:, :, -1:]
        return ForgettingState(self.tokens.append(k, v), self.sums.append(sums, sums[..., :0]))


class Forgetting(nn.Module):
    """w_f: [num_heads, d_model], b_f: [num_heads]."""

    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        self.w_f = nn.Parameter(START_DEVIATION * torch.randn(num_heads, d_model))
        self.b_f = nn.Parameter(torch.zeros(num_heads))

    def forward(
        self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None, *, hidden: Hidden
    ) -> Heads:
        require_causal(causal, "forgetting")
        q, k, v, log_forget = pack(padding_mask, q, k, v, self._log_forget(hidden, padding_mask))
        sums = log_forget.squeeze(3).double().cumsum(2)
        out, norm, _ = normalised_sums(at_least_float32(q) / math.sqrt(q.shape[-1]), k, v, Exponential(), True, drift=sums)
        return unpack(padding_mask, (out / norm).to(v.dtype))

    def init_state(self, batch_size: int) -> ForgettingState:
        return ForgettingState(Cache(batch_size), Cache(batch_size))

    def prefill(self, q: Heads, k: Heads, v: Heads, *, hidden: Hidden) -> ForgettingState:
        return self.init_state(q.shape[0]).append(k, v, self._log_forget(hidden, None))

    def step(self, q: Heads, k: Heads, v: Heads, state: ForgettingState, *, hidden: Hidden) -> tuple[Heads, ForgettingState]:
        state = state.append(k, v, self._log_forget(hidden, None))
        scores = state.tokens.scores(at_least_float32(q) / math.sqrt(q.shape[-1]))
        sums = state.sums.keys
        scores.add_((sums[:, :, -1:] - sums).mT.to(scores.dtype))
        return state.tokens.weighted(scores.softmax(-1)).to(v.dtype), state

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None, *, hidden: Hidden) -> Matrix:
        require_causal(causal, "forgetting")
        q, k, log_forget = hide_padding(padding_mask, q, k, self._log_forget(hidden, padding_mask))
        sums = log_forget.double().cumsum(2)
        scores = q @ k.mT / math.sqrt(q.shape[-1]) + (sums - sums.mT).to(q.dtype)
        visible = visible_keys(q.shape[2], True, padding_mask, q.device, never_empty=True)
        assert visible is not None
        return hide_padding(padding_mask, scores.masked_fill(~visible, -math.inf).softmax(-1))[0]

    def _log_forget(self, hidden: Hidden, padding_mask: PaddingMask | None) -> Gates:
        """log f in float32 or wider; what it is at padding must not count."""
        return F.logsigmoid(gate_map(gate_inputs(hidden, padding_mask), self.w_f, self.b_f)).mT[..., None]


def reference_rows(
    module: nn.Module,
    q: Heads,
    k: Heads,
    v: Heads,
    rows: Rows,
    causal: bool,
    padding_mask: PaddingMask | None,
    hidden: Hidden,
) -> Float[Tensor, "batch heads rows head_dim"]:
    """softmax(s_ij + c_i - c_j) V over the keys up to each row, c_i = sum_{l <= i} log f_l."""
    require_causal(causal, "forgetting")
    seen = see(q, k, v, rows, causal, padding_mask)
    x = at_least_float32(hidden.masked_fill(seen.padding[..., None], 0.0))
    logits = torch.einsum("bnd,hd->bhn", x, module.get_parameter("w_f").to(x.dtype)) + module.get_parameter("b_f").to(x.dtype)[:, None]
    forgotten = F.softplus(-logits.double()).masked_fill(seen.padding[:, None], 0.0).cumsum(-1)  # -c
    fading = (forgotten[..., None, :] - forgotten[..., rows, None]).to(q.dtype)
    return seen.without_padding(seen.softmax(seen.scores() + fading) @ seen.v)


def build(shape: Shape) -> nn.Module:
    return Forgetting(shape.num_heads, width_of(shape))


VARIANT = Variant(
    build=build,
    citation="Lin et al. 2025, Forgetting Transformer: Softmax Attention with a Forget Gate, arXiv 2503.02130",
    family="softmax",
    formula=r"\operatorname{softmax}_{j \le i}(s_{ij} + \sum_{j < l \le i} \operatorname{log} f_{l}) V,\quad f = \sigma(W_{f} x + b_{f})",
    causal="only",
    normalises_rows=True,
    time_exponent=2.0,
    memory_exponent=1.0,
    needs_hidden=True,
    reference_rows=reference_rows,
)
