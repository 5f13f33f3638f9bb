"""L2 attention: softmax of negative squared distances, so that a query attends to the keys that are near it.

A = softmax(-||q_i - k_j||^2 / sqrt(d)), out = A V. ||q_i||^2 is the same for all keys of a row and cancels, which leaves the scores
2 (q_i . k_j - ||k_j||^2 / 2) / sqrt(d): those of softmax attention whose keys have one more column, -||k_j||^2 / 2, and queries a one
there. So torch's fused kernel serves. The column of half precision is split into two, which together hold twice the digits. An offset that
queries and keys share, far above their distances, costs digits, as it does in any form by products.

The paper's layer is Lipschitz because it also ties W_Q = W_K and maps the values in its own way, with the weights of the queries. Here are
only the weights of that mixing; W_Q, W_K and W_V stay free, and the claim does not carry over.

Kim, Papamakarios, Mnih 2021, The Lipschitz Constant of Self-Attention, arXiv 2006.04710.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnbench.attention import Heads, Matrix, PaddingMask, Variant, at_least_float32, hide_padding, unit_values
from attnbench.kernels.cache import Cache
from attnbench.kernels.definition import Seen, Weights, rows_of_matrix
from attnbench.kernels.fused_softmax import fused_softmax, fused_softmax_step

# What the query has in the added columns: float16, which ends at 65,504, holds the squared norm of a key of length up to 1,448 so.
QUERY_ENTRY = {torch.float16: 16.0}
MULTIPLE = 8  # of a width that CUDA's fused kernels take as it is


class L2Attention(nn.Module):
    """No parameters. Values are padded to the width of the keys, for the CPU's kernel is fused only then."""

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        q, k, v = hide_padding(padding_mask, q, k, v)
        keys = _keys(k)
        out = fused_softmax(_queries(q, keys), keys, _widened(v, keys), causal, padding_mask, scale=_scale(q))
        return out[..., : v.shape[-1]]

    def init_state(self, batch_size: int) -> Cache:
        return Cache(batch_size)

    def prefill(self, q: Heads, k: Heads, v: Heads) -> Cache:
        keys = _keys(k)
        return Cache(q.shape[0]).append(keys, _widened(v, keys))

    def step(self, q: Heads, k: Heads, v: Heads, state: Cache) -> tuple[Heads, Cache]:
        keys = _keys(k)
        state = state.append(keys, _widened(v, keys))
        return fused_softmax_step(_queries(q, keys), state, scale=_scale(q))[..., : v.shape[-1]], state

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        q, k = hide_padding(padding_mask, q, k)
        keys = _keys(k)
        return fused_softmax(_queries(q, keys), keys, unit_values(q), causal, padding_mask, scale=_scale(q))


def _scale(q: Heads) -> float:
    return 2 / math.sqrt(q.shape[-1])


def _keys(k: Heads) -> Tensor:
    """The keys with -||k||^2 / 2 beside them, over what the query has there; in half precision rounded, and what rounding left off."""
    wide = at_least_float32(k)
    column = wide.square().sum(-1, keepdim=True) / (-2 * QUERY_ENTRY.get(k.dtype, 1.0))
    if wide is k:
        columns = [column]
    else:
        rounded = column.detach().to(k.dtype)
        columns = [rounded, (column - rounded).to(k.dtype)]  # the gradient of the sum passes through the second
    missing = 0 if k.device.type == "cpu" else -(k.shape[-1] + len(columns)) % MULTIPLE
    return torch.cat([k, *columns, *[torch.zeros_like(columns[0])] * missing], dim=-1)


def _queries(q: Heads, keys: Tensor) -> Tensor:
    """The queries in the width of the keys: what multiplies the added columns is the same everywhere."""
    return F.pad(q, (0, keys.shape[-1] - q.shape[-1]), value=QUERY_ENTRY.get(q.dtype, 1.0))


def _widened(v: Heads, keys: Tensor) -> Tensor:
    return F.pad(v, (0, keys.shape[-1] - v.shape[-1]))


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """softmax(-(||q||^2 - 2 q . k + ||k||^2) / sqrt(d))."""
    lengths = [x.square().sum(-1) for x in (seen.q, seen.k)]
    distances = lengths[0][..., :, None] - 2 * seen.q @ seen.k.mT + lengths[1][..., None, :]
    return seen.softmax(-distances / math.sqrt(seen.q.shape[-1]))


VARIANT = Variant(
    build=lambda shape: L2Attention(),
    citation="Kim, Papamakarios, Mnih 2021, The Lipschitz Constant of Self-Attention, arXiv 2006.04710",
    family="softmax",
    formula=r"\operatorname{softmax}(-\lVert Q_i - K_j \rVert^{2} / \sqrt{d}) V",
    causal=True,
    normalises_rows=True,
    equivariant=True,
    time_exponent=2.0,
    memory_exponent=1.0,
    reference_rows=rows_of_matrix(rows_by_definition),
    implementation={"cpu": "tuned"},
)
