"""Linformer: softmax attention over a learned projection of the sequence to a fixed number of keys and values.

out = softmax(Q (E K)^T / sqrt(d)) F V, with E and F learned, [rank, max_len], and shared by the heads. A token uses the column of its rank
among the unpadded tokens, and a sequence shorter than max_len the first columns.

Wang, Li, Khabsa, Fang, Ma 2020, arXiv 2006.04768; entries from N(0, 1/rank), as in its Theorem 2.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnbench.attention import BadInput, Heads, Matrix, PaddingMask, Shape, Unsupported, Variant, hide_padding, token_ranks, unit_values
from attnbench.kernels.definition import Seen, Weights, rows_of_matrix

DEFAULT_MAX_LEN = 4096


class Linformer(nn.Module):
    """rank: projected keys and values, at most max_len of them: more than there are tokens would project nothing. Paper: 128 or 256."""

    def __init__(self, max_len: int, rank: object) -> None:
        super().__init__()
        if type(rank) is not int or rank < 1:
            raise BadInput(f"rank is {rank!r}; give a whole number of at least 1")
        rank = min(rank, max_len)
        self.e = nn.Parameter(torch.randn(rank, max_len) / math.sqrt(rank))
        self.f = nn.Parameter(torch.randn(rank, max_len) / math.sqrt(rank))

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        return self._attend(q, k, v, causal, padding_mask)

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        """softmax(Q (E K)^T / sqrt(d)) F; its rows do not sum to one."""
        return self._attend(q, k, unit_values(q), causal, padding_mask)

    def _attend(self, q: Heads, k: Heads, v: Tensor, causal: bool, padding_mask: PaddingMask | None) -> Tensor:
        if causal:
            raise Unsupported("linformer has no causal form: a projected key is a mixture of tokens that follow")
        seq_len, max_len = q.shape[-2], self.e.shape[-1]
        if seq_len > max_len:
            raise BadInput(f"linformer got {seq_len} tokens and has {max_len} columns; build it with seq_len={seq_len}")
        q, k, v = hide_padding(padding_mask, q, k, v)
        if padding_mask is not None:
            # Unpadded tokens first, in their order. The padded ones after them are zero, and have no part in E K and F V.
            order = padding_mask.byte().argsort(dim=-1, stable=True)[:, None, :, None]
            k, v = k.take_along_dim(order, dim=-2), v.take_along_dim(order, dim=-2)
        # By einsum, one product for all sequences and heads; `@` would multiply, and copy, the wrong way round.
        projected_k = torch.einsum("rn,bhnd->bhrd", self.e[:, :seq_len], k)
        projected_v = torch.einsum("rn,bhnd->bhrd", self.f[:, :seq_len], v)
        out = F.scaled_dot_product_attention(q, projected_k, projected_v)
        return hide_padding(padding_mask, out)[0]


def definition(module: nn.Module, q: Heads, k: Heads, causal: bool, padding_mask: PaddingMask | None) -> Matrix:
    """softmax(Q (E K)^T / sqrt(d)) F with the columns of E and F put where the tokens are: for checking."""
    ranks = token_ranks(q.shape[-2], padding_mask, q.device)
    e, f = (module.get_parameter(name).to(q.dtype)[:, ranks].transpose(0, 1)[:, None] for name in "ef")  # [batch, 1, rank, seq_len]
    q, k = hide_padding(padding_mask, q, k)
    attention = (q @ (e @ k).mT / math.sqrt(q.shape[-1])).softmax(-1) @ f
    if padding_mask is not None:
        attention = attention.masked_fill(padding_mask[:, None, None, :], 0.0)
    return hide_padding(padding_mask, attention)[0]


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """softmax(q (E K)^T / sqrt(d)) F, one column of E and F for each unpadded token, in order."""
    e, f = (module.get_parameter(name).to(seen.q.dtype) for name in "ef")
    seq_len = seen.k.shape[-2]
    if seen.causal:
        raise Unsupported("linformer has no causal form: a projected key is a mixture of tokens that follow")
    if seq_len > e.shape[-1]:
        raise BadInput(f"linformer got {seq_len} tokens and has {e.shape[-1]} columns; build it with seq_len={seq_len}")
    column = (~seen.padding).cumsum(-1).clamp(min=1) - 1  # [#batch, seq_len]; keys and values of padding are zero
    e, f = (x[:, column].transpose(0, 1)[:, None] for x in (e, f))  # [#batch, 1, rank, seq_len]
    return (seen.q @ (e @ seen.k).mT / math.sqrt(seen.q.shape[-1])).softmax(-1) @ f


def build(shape: Shape, rank: object) -> nn.Module:
    return Linformer(shape.seq_len or DEFAULT_MAX_LEN, rank)


VARIANT = Variant(
    build=build,
    citation="Wang, Li, Khabsa, Fang, Ma 2020, Linformer: Self-Attention with Linear Complexity, arXiv 2006.04768",
    family="linear",
    formula=r"\operatorname{softmax}(Q (E K)^{\top} / \sqrt{d}) F V",
    causal=False,
    normalises_rows=False,
    equivariant=False,
    time_exponent=1.0,
    memory_exponent=1.0,
    params={"rank": 256},
    reference=definition,
    reference_rows=rows_of_matrix(rows_by_definition),
    implementation={"cpu": "tuned"},
)
