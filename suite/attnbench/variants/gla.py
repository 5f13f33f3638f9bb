"""Gated linear attention: every key dimension fades at a rate of its own, which each token sets.

S_i = diag(e^{g_i}) S_{i-1} + k_i v_i^T, out_i = q_i S_i / sqrt(d), g_i = logsigmoid(W_2 W_1 x_i + b) / 16, x_i the hidden state of token i
and W_1 of few rows, the same for all heads. So out_i = sum_{j <= i} sum_d q_id k_jd e^{g_{j+1,d} + ... + g_id} v_j / sqrt(d). It is causal
only.

The bias b is that of the paper and of its authors' implementation. It is the mixing of the paper's layer alone: the layer also normalises
the output of each head, and multiplies it by a swish gate. W_1 and W_2 start as torch starts a linear layer, b at 0.

Yang et al. 2023, Gated Linear Attention Transformers with Hardware-Efficient Training, arXiv 2312.06635.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from attnbench.attention import (
    BadInput,
    Heads,
    Matrix,
    PaddingMask,
    Shape,
    Variant,
    at_least_float32,
    hide_padded_tokens,
    hide_padding,
    require_causal,
    visible_keys,
)
from attnbench.kernels.decay_state import DecayState
from attnbench.kernels.decay_sums import decay_sums
from attnbench.kernels.definition import Rows, Weights, see
from attnbench.kernels.gates import Hidden, gate_inputs, gate_map, linear_start, width_of

SomeRows = Float[Tensor, "batch heads rows head_dim"]

TEMPERATURE = 16.0  # the paper's tau: it keeps decays near 1
BLOCK = 64  # tokens, in which the definition takes every pair of tokens by itself


class GatedLinear(nn.Module):
    """w_1: [rank, d_model], w_2: [num_heads, head_dim, rank], b: [num_heads, head_dim]."""

    def __init__(self, num_heads: int, head_dim: int, d_model: int, rank: object) -> None:
        super().__init__()
        if type(rank) is not int or rank < 1:
            raise BadInput(f"rank is {rank!r}; give a whole number of at least 1, the paper's is 16")
        self.w_1 = nn.Parameter(linear_start(rank, d_model))
        self.w_2 = nn.Parameter(linear_start(num_heads, head_dim, rank))
        self.b = nn.Parameter(torch.zeros(num_heads, head_dim))

    def forward(
        self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None, *, hidden: Hidden
    ) -> Heads:
        require_causal(causal, "gla")
        q, k, v = hide_padding(padding_mask, q, k, v)
        return decay_sums(q, k, v, self._log_decay(hidden, padding_mask), scale=1.0 / math.sqrt(q.shape[-1]))

    def init_state(self, batch_size: int) -> DecayState:
        return DecayState(batch_size)

    def prefill(self, q: Heads, k: Heads, v: Heads, *, hidden: Hidden) -> DecayState:
        return DecayState(q.shape[0]).add(k, v, self._log_decay(hidden, None))

    def step(self, q: Heads, k: Heads, v: Heads, state: DecayState, *, hidden: Hidden) -> tuple[Heads, DecayState]:
        state = state.add(k, v, self._log_decay(hidden, None))
        return (state.read(q) / math.sqrt(q.shape[-1])).to(v.dtype), state

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None, *, hidden: Hidden) -> Matrix:
        require_causal(causal, "gla")
        q, k = hide_padding(padding_mask, q, k)
        sums = self._log_decay(hidden, padding_mask).double().cumsum(2)
        visible = visible_keys(q.shape[2], causal, padding_mask, q.device)
        assert visible is not None
        return faded_scores(q, k, sums, sums, torch.arange(q.shape[2], device=q.device), visible)

    def _log_decay(self, hidden: Hidden, padding_mask: PaddingMask | None) -> Heads:
        """g in float32 or wider; at padding nothing decays."""
        few = gate_map(gate_inputs(hidden, padding_mask), self.w_1)
        logits = gate_map(few, self.w_2.flatten(0, 1), self.b.flatten())
        log_decay = F.logsigmoid(logits).unflatten(2, self.b.shape).transpose(1, 2) / TEMPERATURE
        return hide_padding(padding_mask, log_decay)[0]


def faded_scores(
    q: SomeRows, k: Heads, at_rows: SomeRows, at_keys: Heads, rows: Rows, visible: Bool[Tensor, "#batch 1 #rows seq_len"]
) -> Weights:
    """sum_d q_id k_jd e^{G_id - G_jd} / sqrt(d) for visible keys and 0 for others, G the sums of g up to a token.

    q and at_rows are those of the positions `rows`. Only keys that are near a row need a product for each of them and each dimension;
    before these the exponential is one of the row times one of the key.
    """
    first_of = rows // BLOCK * BLOCK
    groups = [(first, (first_of == first).nonzero()[:, 0]) for first in first_of.unique().tolist()]
    parts = []
    for first, mine in groups:
        keys = slice(min(k.shape[2], first + BLOCK))  # no row of the group sees one beyond
        of_rows = q[:, :, mine], at_rows[:, :, mine], visible[:, :, mine, keys]
        # Recomputed in the backward pass, so that there too what one group needs is held at a time.
        some = checkpoint(_scores_of, *of_rows, k[:, :, keys], at_keys[:, :, keys], first, use_reentrant=False, preserve_rng_state=False)
        parts.append(F.pad(some, (0, k.shape[2] - some.shape[-1])))
    order = torch.cat([mine for _, mine in groups]).argsort()
    return torch.cat(parts, 2)[:, :, order] / math.sqrt(q.shape[-1])


def _scores_of(q: SomeRows, at_rows: SomeRows, visible: Tensor, k: Heads, at_keys: Heads, first: int) -> Weights:
    """The scores of rows of the block of tokens that begins at `first`, and of the keys up to its end."""
    # Whatever is taken here cancels. The sums never rise, so that with the last one before the block neither exponential is above 1.
    edge = at_keys[:, :, max(first - 1, 0), None].detach()
    far = (q * (at_rows - edge).exp().to(q.dtype)) @ (k[:, :, :first] * (edge - at_keys[:, :, :first]).exp().to(q.dtype)).mT
    sees = visible[..., first:, None]
    fading = (at_rows[:, :, :, None] - at_keys[:, :, None, first:]).masked_fill(~sees, -math.inf).exp()
    near = (q[:, :, :, None] * k[:, :, None, first:] * fading.to(q.dtype)).sum(-1)
    return torch.cat([far, near], -1).masked_fill(~visible, 0.0)


def reference_rows(
    module: nn.Module, q: Heads, k: Heads, v: Heads, rows: Rows, causal: bool, padding_mask: PaddingMask | None, hidden: Hidden
) -> SomeRows:
    """sum_d q_id k_jd e^{G_id - G_jd} / sqrt(d), with g as log(1 / (1 + e^-z)) / 16, which is 0 at padding."""
    require_causal(causal, "gla")
    seen = see(q, k, v, rows, causal, padding_mask)
    x = at_least_float32(hide_padded_tokens(padding_mask, hidden))
    w_1, w_2, b = (module.get_parameter(name).to(x.dtype) for name in ("w_1", "w_2", "b"))
    logits = torch.einsum("bnm,rm,hdr->bhnd", x, w_1, w_2) + b[:, None]
    g = -torch.logaddexp(-logits, torch.zeros_like(logits)) / 16
    sums = g.masked_fill(seen.padding[:, None, :, None], 0.0).double().cumsum(2)
    return seen.without_padding(faded_scores(seen.q, seen.k, sums[:, :, rows], sums, rows, seen.visible) @ seen.v)


def build(shape: Shape, rank: object) -> nn.Module:
    return GatedLinear(shape.num_heads, shape.head_dim, width_of(shape), rank)


VARIANT = Variant(
    build=build,
    citation="Yang et al. 2023, Gated Linear Attention Transformers with Hardware-Efficient Training, arXiv 2312.06635",
    family="linear",
    formula=(
        r"q_{i} S_{i} / \sqrt{d},\quad S_{i} = \operatorname{diag}(e^{g_{i}}) S_{i-1} + k_{i} v_{i}^{\top},\quad "
        r"g_{i} = \log \sigma(W_{2} W_{1} x_{i} + b) / 16"
    ),
    causal="only",
    normalises_rows=False,
    equivariant=False,
    time_exponent=1.0,
    memory_exponent=1.0,
    params={"rank": 16},
    needs_hidden=True,
    reference_rows=reference_rows,
)
