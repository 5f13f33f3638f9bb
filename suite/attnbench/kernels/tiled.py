"""Attention by an activation of the scores, tile by tile: no seq_len x seq_len matrix is ever held.

An elementwise activation gives sum_j phi(s_ij + b_i) v_j: with no maximum and no denominator a tile needs nothing of the others. A
normalised one also gives what its rows sum to, and the largest score that both are relative to. The backward pass computes its tiles
again. A tile of scores is made, activated and used while it lies in the cache; its buffer is reused.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from attnbench.attention import at_least_float32
from attnbench.kernels.activation import Activation
from attnbench.kernels.batching import by_folding
from attnbench.kernels.normalised import BITS, Normalised, RowSums, Undivided
from attnbench.kernels.tiles import Tiles, flat

Rows = Float[Tensor, "batch heads seq_len head_dim"]
Values = Float[Tensor, "batch heads seq_len value_dim"]
Bias = Float[Tensor, "#batch #heads #seq_len 1"]
Sums = Float[Tensor, "batch heads seq_len 1"]


def elementwise_attention(q: Rows, k: Rows, v: Values, activation: Activation, causal: bool, bias: Bias | None = None) -> Values:
    """sum over keys (up to the query's own when causal) of phi(q . k + bias) v, differentiable in q, k and v.

    Scale q beforehand and the result afterwards. Extra memory is a few times that of q, k and v, whatever the length. Half precision is
    worked in float32.
    """
    dtype = v.dtype
    q, k, v = (at_least_float32(x) for x in (q, k, v))
    if bias is not None:
        bias = bias.to(q.dtype).expand(*q.shape[:-1], 1)
    out: Tensor = _Tiled.apply(q, k, v, bias, None, None, Undivided(activation), causal)[0]  # type: ignore[no-untyped-call]
    return out.to(dtype)


def normalised_sums(
    q: Rows,
    k: Rows,
    v: Values,
    activation: Normalised,
    causal: bool,
    padding_mask: Bool[Tensor, "batch seq_len"] | None = None,
    drift: Float[Tensor, "batch heads seq_len"] | None = None,
) -> tuple[Values, Sums, Sums]:
    """e^-m_i sum_j phi(s_ij) v_j, e^-m_i sum_j psi(s_ij) and m, with s = q . k over the keys that are not padded.

    q, k, v and drift get gradients; m, near the row's largest score, is a constant that every quotient of the two is free of. The
    quotient is 0 / 0 where a row sees no key. Padded rows of k and v must be zero. float32 at least, whatever the inputs are.
    drift: c, in float64; s is then q . k + c_i - c_j, whose digits do not depend on the size of c.
    """
    q, k, v = (at_least_float32(x) for x in (q, k, v))
    total, sums, shift = _Tiled.apply(q, k, v, None, drift, padding_mask, activation, causal)  # type: ignore[no-untyped-call]
    return total, sums, shift / BITS


class _Tiled(torch.autograd.Function):
    """Gives sum_j phi v_j, sum_j psi and the shift of both, in units of the activation."""

    @staticmethod
    def forward(
        q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, drift: Tensor | None, padding_mask: Tensor | None,
        activation: Normalised, causal: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        tiles = Tiles(q, k, v, bias, drift, padding_mask, activation, causal)
        out = v.new_empty(tiles.v.shape)
        sums, shift = v.new_empty(2, *out.shape[:-1], 1)
        for heads, rows in tiles.blocks():
            queries = tiles.q[heads, rows].contiguous()
            weights = RowSums(activation, torch.zeros_like(out[heads, rows]), tiles.bounded)
            for keys in tiles.keys(heads, rows):
                scores, scratch = tiles.score(queries, heads, rows, keys)
                weights.weigh_(scores, scratch)
                tiles.mask_(rows, keys, scores)
                weights.total.baddbmm_(scores, keys.v)
            out[heads, rows], sums[heads, rows], shift[heads, rows] = weights.total, weights.sums, weights.shift
        return out.view(v.shape), sums.view(*v.shape[:-1], 1), shift.view(*v.shape[:-1], 1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *tensors, ctx.activation, ctx.causal = inputs
        ctx.save_for_backward(*tensors, output[2])
        ctx.mark_non_differentiable(output[2])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor, d_sums: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, bias, drift, padding_mask, shift = ctx.saved_tensors
        tiles = Tiles(q, k, v, bias, drift, padding_mask, ctx.activation, ctx.causal)
        d_out, d_sums, shift = flat(d_out), flat(d_sums), flat(shift)
        dq, dk, dv = q.new_empty(tiles.q.shape), k.new_zeros(tiles.k.shape), v.new_zeros(tiles.v.shape)
        d_drift = None if tiles.drift is None else torch.zeros_like(tiles.drift)
        for heads, rows in tiles.blocks():
            queries, d_rows, d_row_sums = tiles.q[heads, rows].contiguous(), d_out[heads, rows].contiguous(), d_sums[heads, rows]
            row_shift = None if tiles.bounded else shift[heads, rows]
            total = torch.zeros_like(queries)
            for keys in tiles.keys(heads, rows):
                scores, spare = tiles.score(queries, heads, rows, keys)
                slope = ctx.activation.weigh_and_slope_(scores, row_shift, spare)
                tiles.mask_(rows, keys, scores, slope)
                keys.dv.baddbmm_(scores.mT, d_rows)
                d_scores = scores if slope is spare else spare
                torch.bmm(d_rows, keys.v.mT, out=d_scores)
                ctx.activation.chain_(d_scores, slope, d_row_sums)
                total.baddbmm_(d_scores, keys.k)
                keys.dk.baddbmm_(d_scores.mT, queries)
                if d_drift is not None:
                    # Over the tokens rounding would add up.
                    d_drift[heads, rows] += d_scores.sum(-1, dtype=torch.float64)
                    d_drift[heads, keys.at] -= d_scores.sum(-2, dtype=torch.float64)
            dq[heads, rows] = total
            if rows.stop == tiles.seq_len:  # the last of these heads
                for keys in tiles.keys_so_far():
                    dk[heads, keys.at] += keys.dk
                    dv[heads, keys.at] += keys.dv
        if d_drift is not None:
            d_drift = d_drift.view(drift.shape)
        return dq.view(q.shape), dk.view(k.shape), dv.view(v.shape), None, d_drift, None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        return by_folding(_Tiled, info, in_dims, inputs)
