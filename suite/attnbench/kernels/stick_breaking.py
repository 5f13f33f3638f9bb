"""Stick-breaking attention tile by tile, in memory that is linear in seq_len.

    A_ij = sigma(z_ij) prod_{j < l < i} (1 - sigma(z_il)),   log A_ij = log sigma(z_ij) - sum_{j < l < i} softplus(z_il),   j < i

A row breaks its stick at the nearest key first. So the sequences are turned round: row r then meets its keys c > r from left to right, a
tile adds up its softplus from its own left edge, and what the tiles before it add up to scales what it gives, once a row. A sum from the
near end keeps the digits that a difference of sums from the far end would lose.

With dA_ij = dO_i . v_j and g = A dA the gradient is dz_ij = g_ij - sigma(z_ij) sum_{m <= j} g_im. The sum comes from the far end, so the
backward pass goes through the tiles from there and takes each tile's sum of softplus off the row's total again: both are added up in
float64, where that is exact enough. Logarithms are to the base 2, for the sake of torch's exp2: see BITS. Its exp also takes a CPU ten
times as long where it underflows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from attnbench.attention import at_least_float32
from attnbench.kernels.batching import by_folding
from attnbench.kernels.normalised import BITS
from attnbench.kernels.tiles import flat

Rows = Float[Tensor, "batch heads seq_len head_dim"]
Values = Float[Tensor, "batch heads seq_len value_dim"]

# A tile. Measured on one core of a loaded machine, seq_len 2,048, 4 heads of 64, forward and training as time over fused softmax, heads x
# rows x keys: 4 x 128 x 512 2.1 to 2.4 and 1.8, 4 x 128 x 256 2.1 and 1.9, 4 x 64 x 512 2.3 and 2.0, 4 x 256 x 512 2.3 and 1.9.
HEADS, ROWS, KEYS = 4, 128, 512
ROWS_ELSEWHERE, KEYS_ELSEWHERE = 1024, 4096  # of all heads at once; not measured


def stick_breaking_attention(q: Rows, k: Rows, v: Values) -> Values:
    """sum over the keys before each query's own of A v, differentiable in q, k and v. Scale q beforehand; the first row is zero.

    Half precision is worked in float32.
    """
    turned = (at_least_float32(x).flip(2) for x in (q, k, v))
    out, _ = _SticksBroken.apply(*turned)  # type: ignore[no-untyped-call]
    return out.flip(2).to(v.dtype)


class _SticksBroken(torch.autograd.Function):
    """Of sequences that are turned round. Beside the output it gives each row's sum of softplus, [batch, heads, seq_len, 1], in float64."""

    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        tiles = _Tiles(q, k)
        flat_v = flat(v)
        out, totals = v.new_empty(flat_v.shape), q.new_empty(*tiles.q.shape[:2], 1, dtype=torch.float64)
        for heads, rows in tiles.blocks():
            total, sums = torch.zeros_like(totals[heads, rows]), torch.zeros_like(out[heads, rows])
            for keys in tiles.keys(rows):
                weights, own = tiles.weights(heads, rows, keys)
                sums.addcmul_(weights @ flat_v[heads, keys], total.neg().exp2().to(v.dtype))
                total.add_(own)
            out[heads, rows], totals[heads, rows] = sums, total
        return out.view(v.shape), totals.view(*v.shape[:3], 1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs, output[1])
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor, _: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v, totals = ctx.saved_tensors
        tiles = _Tiles(q, k)
        flat_v, d_out, totals = flat(v), flat(upstream), flat(totals)
        dq, dk, dv = q.new_empty(tiles.q.shape), k.new_zeros(tiles.k.shape), v.new_zeros(flat_v.shape)
        for heads, rows in tiles.blocks():
            total, sums = totals[heads, rows].clone(), torch.zeros_like(dq[heads, rows])
            beyond = q.new_zeros(total.shape)  # sum of g over the keys beyond the tile
            for keys in reversed(list(tiles.keys(rows))):
                weights, own = tiles.weights(heads, rows, keys, sigmoids=True)
                scaled = d_out[heads, rows] * total.sub_(own).neg().exp2().to(v.dtype)
                dv[heads, keys].baddbmm_(weights.mT, scaled)
                slopes, beyond = tiles.slopes(weights, scaled @ flat_v[heads, keys].mT, beyond)
                sums.baddbmm_(slopes, tiles.k[heads, keys])
                dk[heads, keys].baddbmm_(slopes.mT, tiles.q[heads, rows])
            dq[heads, rows] = sums
        return dq.view(q.shape), dk.view(k.shape), dv.view(v.shape)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        return by_folding(_SticksBroken, info, in_dims, inputs)


class _Tiles:
    """Queries and keys as [batch * heads, seq_len, head_dim], and the buffers that every tile uses.

    One of these has a column more than a tile, for sums up to each key and without it.
    """

    def __init__(self, q: Tensor, k: Tensor) -> None:
        self.q, self.k = flat(q), flat(k)
        heads, self.seq_len, _ = self.q.shape
        on_cpu = q.device.type == "cpu"
        rows, keys, self.head_block = (ROWS, KEYS, min(HEADS, heads)) if on_cpu else (ROWS_ELSEWHERE, KEYS_ELSEWHERE, heads)
        self.row_block, self.key_block = min(rows, self.seq_len), min(keys, self.seq_len)
        size = self.head_block * self.row_block * self.key_block
        self.scores, self.spare = q.new_empty(2, size)
        self.sums = q.new_empty(size + self.head_block * self.row_block)

    def blocks(self) -> Iterator[tuple[slice, slice]]:
        """Heads and query rows of every row of tiles."""
        for heads in range(0, self.q.shape[0], self.head_block):
            for rows in range(0, self.seq_len, self.row_block):
                yield slice(heads, heads + self.head_block), slice(rows, min(rows + self.row_block, self.seq_len))

    def keys(self, rows: slice) -> Iterator[slice]:
        """Keys of the tiles of these rows, none of which lies wholly before them."""
        for start in range(rows.start, self.seq_len, self.key_block):
            yield slice(start, min(start + self.key_block, self.seq_len))

    def weights(self, heads: slice, rows: slice, keys: slice, sigmoids: bool = False) -> tuple[Tensor, Tensor]:
        """A of a tile, but for what the keys between its left edge and the rows take; and its rows' sums of softplus, in bits and float64.

        sigmoids: whether to leave those of the scores in the spare buffer, for `slopes`.
        """
        queries, turned = self.q[heads, rows], self.k[heads, keys].mT
        shape = (queries.shape[0], queries.shape[1], turned.shape[2])
        scores, spare, sums = _like(self.scores, shape), _like(self.spare, shape), _like(self.sums, (*shape[:2], shape[2] + 1))
        torch.baddbmm(scores, queries, turned, beta=0.0, alpha=BITS, out=scores)
        # softplus(s) = max(s, 0) + rest and log sigma(s) = min(s, 0) - rest: the difference of s and its softplus would lose digits.
        rest = torch.abs(scores, out=spare).neg_().exp2_().log1p_()
        own = torch.clamp(scores, min=0.0, out=sums[..., 1:]).add_(rest, alpha=BITS)
        self._mask_(own, rows, keys)
        scores.clamp_(max=0.0).sub_(rest, alpha=BITS)
        if sigmoids:
            self._mask_(torch.exp2(scores, out=spare), rows, keys)
        sums[..., 0] = 0.0
        sums.cumsum_(-1)
        scores.sub_(sums[..., :-1]).exp2_()
        self._mask_(scores, rows, keys)
        return scores, sums[..., -1:].double()

    def slopes(self, weights: Tensor, d_weights: Tensor, beyond: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient of a tile's scores, in the buffer of its weights, and the sum of g over its keys and those beyond it."""
        g = weights.mul_(d_weights)
        # From the far end here too: where the far keys get nothing, a difference of larger sums would leave rounding, times sigmoids of 1.
        sums = g.flip(-1).cumsum_(-1).flip(-1).add_(beyond)
        return g.addcmul_(sums, _like(self.spare, weights.shape), value=-1.0), sums[..., :1].clone()

    def _mask_(self, tile: Tensor, rows: slice, keys: slice) -> None:
        """Zero what is not beyond its row."""
        if keys.start < rows.stop:
            tile.triu_(rows.start - keys.start + 1)


def _like(buffer: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The start of a flat buffer, in that shape: the last tiles are smaller than the others."""
    return buffer[: math.prod(shape)].view(shape)
