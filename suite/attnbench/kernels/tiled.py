"""Attention by an activation of the scores, tile by tile: no seq_len x seq_len matrix is ever held.

An elementwise activation gives sum_j phi(s_ij + b_i) v_j: with no maximum and no denominator a tile needs nothing of the others. A
normalised one also gives what its rows sum to, and the largest score that both are relative to. The backward pass computes its tiles
again. A tile of scores is made, activated and used while it lies in the cache; its buffer is reused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from attnbench.attention import at_least_float32
from attnbench.kernels.activation import Activation
from attnbench.kernels.batching import several_by_folding
from attnbench.kernels.normalised import BITS, Normalised, RowSums, Undivided

Rows = Float[Tensor, "batch heads seq_len head_dim"]
Values = Float[Tensor, "batch heads seq_len value_dim"]
Bias = Float[Tensor, "#batch #heads #seq_len 1"]
Sums = Float[Tensor, "batch heads seq_len 1"]

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
    """Gives sum_j phi v_j, sum_j psi and the shift of both, in bits."""

    @staticmethod
    def forward(
        q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, drift: Tensor | None, padding_mask: Tensor | None,
        activation: Normalised, causal: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        tiles = _Tiles(q, k, v, bias, drift, padding_mask, activation, causal)
        out = v.new_empty(tiles.v.shape)
        sums, shift = v.new_empty(2, *out.shape[:-1], 1)
        scratch = torch.empty_like(tiles.scores)
        for heads, rows in tiles.blocks():
            row_sums = RowSums(activation, torch.zeros_like(out[heads, rows]), tiles.bounded)
            for keys in tiles.keys(rows):
                scores = tiles.score(heads, rows, keys)
                row_sums.weigh_(scores, _like(scratch, scores))
                tiles.mask_(rows, keys, scores)
                row_sums.total.baddbmm_(scores, tiles.v[heads, keys])
            out[heads, rows], sums[heads, rows], shift[heads, rows] = row_sums.total, row_sums.sums, row_sums.shift
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
        tiles = _Tiles(q, k, v, bias, drift, padding_mask, ctx.activation, ctx.causal)
        d_out, d_sums, shift = _flat(d_out), _flat(d_sums), _flat(shift)
        dq, dk, dv = q.new_empty(tiles.q.shape), k.new_zeros(tiles.k.shape), v.new_zeros(tiles.v.shape)
        d_drift = torch.zeros_like(tiles.drift) if ctx.needs_input_grad[4] else None
        spares = torch.empty_like(tiles.scores)
        for heads, rows in tiles.blocks():
            queries, d_rows = tiles.q[heads, rows], d_out[heads, rows]
            total = torch.zeros_like(queries)
            for keys in tiles.keys(rows):
                scores = tiles.score(heads, rows, keys)
                spare = _like(spares, scores)
                slope = ctx.activation.weigh_and_slope_(scores, None if tiles.bounded else shift[heads, rows], spare)
                tiles.mask_(rows, keys, scores, slope)
                dv[heads, keys].baddbmm_(scores.mT, d_rows)
                d_scores = scores if slope is spare else spare
                torch.bmm(d_rows, tiles.v[heads, keys].mT, out=d_scores)
                ctx.activation.chain_(d_scores, slope, d_sums[heads, rows])
                total.baddbmm_(d_scores, tiles.k[heads, keys])
                dk[heads, keys].baddbmm_(d_scores.mT, queries)
                if d_drift is not None:
                    d_drift[heads, rows] += d_scores.sum(-1, dtype=torch.float64)
                    d_drift[heads, keys] -= d_scores.sum(-2, dtype=torch.float64)
            dq[heads, rows] = total
        if d_drift is not None:
            d_drift = d_drift.view(drift.shape)
        return dq.view(q.shape), dk.div_(tiles.unit).view(k.shape), dv.view(v.shape), None, d_drift, None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        return several_by_folding(_Tiled, info, in_dims, inputs)


class _Tiles:
    """Queries, keys and values as [batch * heads, seq_len, head_dim], and the one buffer that every tile of scores uses."""

    def __init__(
        self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, drift: Tensor | None, padding_mask: Tensor | None,
        activation: Normalised, causal: bool,
    ) -> None:  # fmt: skip
        self.unit, self.unseen, self.causal = activation.unit, activation.unseen, causal
        self.q, self.k, self.v = _flat(q if self.unit == 1.0 else q * self.unit), _flat(k), _flat(v)
        self.bias = None if bias is None else _flat(bias)
        self.drift = None if drift is None else drift.flatten(0, 1) * self.unit
        self.hidden = None
        if padding_mask is not None and self.unseen == -math.inf:
            hidden = torch.zeros(padding_mask.shape, dtype=q.dtype, device=q.device).masked_fill_(padding_mask, -math.inf)
            self.hidden = _flat(hidden[:, None, None].expand(-1, q.shape[1], -1, -1))
        self.bounded = activation.bound == math.inf or (
            # A number is read back for it; elsewhere that would cost more than is saved.
            activation.bound >= 0.0 and drift is None and q.device.type == "cpu" and _longest(self.q) * _longest(k) <= activation.bound
        )
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
        """A tile of scores, in the shared buffer, those of keys that are not seen included where `mask_` hides these."""
        queries, turned = self.q[heads, rows], self.k[heads, keys].mT
        scores = _like(self.scores, (queries.shape[0], queries.shape[1], turned.shape[2]))
        torch.bmm(queries, turned, out=scores)
        if self.bias is not None:
            scores.add_(self.bias[heads, rows])
        if self.drift is not None:
            self._drift_(scores, self.drift[heads, rows], self.drift[heads, keys], keys.stop <= rows.start)
        if self.hidden is not None:
            scores.add_(self.hidden[heads, :, keys])
        if self.unseen is not None and self._has_future(rows, keys):
            if self.unseen == 0.0:
                scores.tril_(rows.start - keys.start)
            else:
                scores.add_(scores.new_full(scores.shape[1:], self.unseen).triu_(rows.start - keys.start + 1))
        return scores

    def mask_(self, rows: slice, keys: slice, *tiles: Tensor) -> None:
        """Zero what lies in the future of its row, unless its score was that of an unseen key."""
        if self.unseen is None and self._has_future(rows, keys):
            for tile in tiles:
                tile.tril_(rows.start - keys.start)

    def _has_future(self, rows: slice, keys: slice) -> bool:
        return self.causal and keys.stop > rows.start + 1

    def _drift_(self, scores: Tensor, of_rows: Tensor, of_keys: Tensor, is_past: bool) -> None:
        """Adds c_i - c_j, the differences rounded and not c.

        A tile of keys in the past can be done in two passes, by what rows and keys lie apart from the first row: where both are far from
        it, c_i - c_j is large, and the weight
        """
        if is_past:
            first = of_rows[:, :1]
            scores.add_((of_rows - first).to(scores.dtype)[:, :, None]).add_((first - of_keys).to(scores.dtype)[:, None])
        else:
            scores.add_((of_rows[:, :, None] - of_keys[:, None]).to(scores.dtype))


def _longest(x: Tensor) -> float:
    """The largest length of a row."""
    return float(x.square().sum(-1).amax().sqrt())


def _flat(x: Tensor) -> Tensor:
    return x.reshape(-1, *x.shape[-2:])


def _like(buffer: Tensor, shape: Tensor | tuple[int, ...]) -> Tensor:
    """The start of a flat buffer, in that shape: the last tiles are smaller than the others."""
    size = shape.shape if isinstance(shape, Tensor) else torch.Size(shape)
    return buffer[: size.numel()].view(size)
