"""Attention by an elementwise activation, sum_j phi(q_i . k_j + b_i) v_j, tile by tile: no seq_len x seq_len matrix is ever held.

With no maximum and no denominator a tile needs nothing of the others. The backward pass computes its tiles again. A tile of scores is
made, activated and used while it lies in the cache; its buffer is reused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from attnbench.attention import at_least_float32
from attnbench.kernels.activation import Activation
from attnbench.kernels.batching import by_folding

Rows = Float[Tensor, "batch heads seq_len head_dim"]
Values = Float[Tensor, "batch heads seq_len value_dim"]
Bias = Float[Tensor, "#batch #heads #seq_len 1"]

# 2 MB of float32 scores, the second-level cache of two cores. Measured on two cores, seq_len 4,096, 4 heads, head_dim 64, degree 3, as
# time over fused softmax: 4 x 256 x 512 .85, 4 x 256 x 256 .93, 2 x 512 x 512 .93, 1 x 2,048 x 256 .96, 1 x 256 x 1,024 1.31.
TILE_SCORES = 2**19
KEYS = 512
KEYS_OF_ONE_HEAD = 256
MOST_HEADS = 4
# Elsewhere a launch costs more than a cache saves: 256 MB of float32 scores, all heads at once. Not measured.
TILE_SCORES_ELSEWHERE, KEYS_ELSEWHERE = 2**26, 4096


def elementwise_attention(q: Rows, k: Rows, v: Values, activation: Activation, causal: bool, bias: Bias | None = None) -> Values:
    """sum over keys (up to the query's own when causal) of phi(q . k + bias) v, differentiable in q, k and v.

    Scale q beforehand and the result afterwards. Extra memory is a few times that of q, k and v, whatever the length. Half precision is
    worked in float32.
    """
    dtype = v.dtype
    q, k, v = (at_least_float32(x) for x in (q, k, v))
    if bias is not None:
        bias = bias.to(q.dtype).expand(*q.shape[:-1], 1)
    out: Tensor = _Tiled.apply(q, k, v, bias, activation, causal)  # type: ignore[no-untyped-call]
    return out.to(dtype)


class _Tiled(torch.autograd.Function):
    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, activation: Activation, causal: bool) -> Tensor:
        tiles = _Tiles(q, k, v, bias, causal)
        out = v.new_empty(tiles.v.shape)
        scratch = torch.empty_like(tiles.scores)
        for heads, rows in tiles.blocks():
            total = torch.zeros_like(out[heads, rows])
            for keys in tiles.keys(rows):
                scores = tiles.score(heads, rows, keys)
                activation.value_(scores, _like(scratch, scores))
                tiles.mask_(scores, rows, keys)
                total.baddbmm_(scores, tiles.v[heads, keys])
            out[heads, rows] = total
        return out.view(v.shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        q, k, v, bias, ctx.activation, ctx.causal = inputs
        ctx.save_for_backward(q, k, v, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, bias = ctx.saved_tensors
        tiles = _Tiles(q, k, v, bias, ctx.causal)
        d_out = _flat(upstream)
        dq, dk, dv = q.new_empty(tiles.q.shape), k.new_zeros(tiles.k.shape), v.new_zeros(tiles.v.shape)
        slopes = torch.empty_like(tiles.scores)
        for heads, rows in tiles.blocks():
            queries, d_rows = tiles.q[heads, rows], d_out[heads, rows]
            total = torch.zeros_like(queries)
            for keys in tiles.keys(rows):
                scores = tiles.score(heads, rows, keys)
                slope = _like(slopes, scores)
                ctx.activation.value_and_slope_(scores, slope)
                tiles.mask_(scores, rows, keys)
                tiles.mask_(slope, rows, keys)
                dv[heads, keys].baddbmm_(scores.mT, d_rows)
                torch.bmm(d_rows, tiles.v[heads, keys].mT, out=scores)
                scores.mul_(slope)
                total.baddbmm_(scores, tiles.k[heads, keys])
                dk[heads, keys].baddbmm_(scores.mT, queries)
            dq[heads, rows] = total
        return dq.view(q.shape), dk.view(k.shape), dv.view(v.shape), None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        return by_folding(_Tiled, info, in_dims, inputs)


class _Tiles:
    """Queries, keys and values as [batch * heads, seq_len, head_dim], and the one buffer that every tile of scores uses."""

    def __init__(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, causal: bool) -> None:
        self.q, self.k, self.v = _flat(q), _flat(k), _flat(v)
        self.bias = None if bias is None else _flat(bias)
        self.causal = causal
        heads, self.seq_len, _ = self.q.shape
        # A batched product runs its matrices side by side, so a tile spans several heads where there are several.
        if q.device.type == "cpu":
            size, keys, at_once = TILE_SCORES, KEYS if heads > 1 else KEYS_OF_ONE_HEAD, min(heads, MOST_HEADS)
        else:
            size, keys, at_once = TILE_SCORES_ELSEWHERE, KEYS_ELSEWHERE, heads
        self.key_block = min(self.seq_len, keys)
        self.row_block = min(self.seq_len, max(1, size // (self.key_block * at_once)))
        self.head_block = max(1, min(heads, size // (self.key_block * self.row_block)))
        self.scores = q.new_empty(self.head_block * self.row_block * self.key_block)

    def blocks(self) -> Iterator[tuple[slice, slice]]:
        """Heads and query rows of every row of tiles."""
        for heads in range(0, self.q.shape[0], self.head_block):
            for rows in range(0, self.seq_len, self.row_block):
                yield slice(heads, heads + self.head_block), slice(rows, min(rows + self.row_block, self.seq_len))

    def keys(self, rows: slice) -> Iterator[slice]:
        """Keys of the tiles of these rows; when causal, none that lies wholly in their future."""
        end = rows.stop if self.causal else self.seq_len
        for start in range(0, end, self.key_block):
            yield slice(start, min(start + self.key_block, end))

    def score(self, heads: slice, rows: slice, keys: slice) -> Tensor:
        """A tile of scores, in the shared buffer."""
        queries, turned = self.q[heads, rows], self.k[heads, keys].mT
        scores = _like(self.scores, (queries.shape[0], queries.shape[1], turned.shape[2]))
        torch.bmm(queries, turned, out=scores)
        return scores if self.bias is None else scores.add_(self.bias[heads, rows])

    def mask_(self, tile: Tensor, rows: slice, keys: slice) -> None:
        """Zero what lies in the future of its row."""
        if self.causal and keys.stop > rows.start + 1:
            tile.tril_(rows.start - keys.start)


def _flat(x: Tensor) -> Tensor:
    return x.reshape(-1, *x.shape[-2:])


def _like(buffer: Tensor, shape: Tensor | tuple[int, ...]) -> Tensor:
    """The start of a flat buffer, in that shape: the last tiles are smaller than the others."""
    size = shape.shape if isinstance(shape, Tensor) else torch.Size(shape)
    return buffer[: size.numel()].view(size)
