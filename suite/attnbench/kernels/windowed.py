"""Softmax attention in a window of positions, block by block: in time seq_len x window, and in memory that is linear in seq_len.

The queries are cut into blocks. A block reads the keys that its rows may see, a view of the sequence that overlaps with those of its
neighbours, and many blocks are one call of torch's fused kernel, for they have the same mask. Blocks at the two ends, some of whose keys
would lie before the first token or after the last, are calls of their own. Padded sequences are packed, their tokens side by side, so that
the window counts tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from attnbench.attention import Heads, KVHeads, PaddingMask, fold_groups
from attnbench.kernels.cache import Cache
from attnbench.kernels.fused_softmax import fused_softmax
from attnbench.kernels.packing import pack, packed_padding, unpack

# Rows of a block, and how many times as many keys it reads before blocks are made larger. Measured on one core, seq_len 8,192, 4 heads of
# 64, window 512, causal, forward and training in ms: 32 rows 78 and 358, 64 rows 83 and 307, 128 rows 92 and 313, 256 rows 102 and 340; not
# causal 148 and 880, 147 and 676, 157 and 538, 163 and 560; window 2,048, causal: 257 and 1,153 with 64 rows, 268 and 933 with 256.
SMALLEST_BLOCK, LARGEST_BLOCK, KEYS_A_ROW = 64, 1024, 8
# Rows of one call. In training the gradients of the keys are held once for each block that reads them, for one call at a time.
ROWS = {"cpu": 1024}
ROWS_ELSEWHERE = 4096  # a launch costs more there; not measured


def windowed_softmax(q: Heads, k: KVHeads, v: KVHeads, window: int, causal: bool, padding_mask: PaddingMask | None = None) -> Heads:
    """softmax(Q K^T / sqrt(d)) V over the keys with |i - j| < window, when causal those with j <= i; rows of padding are zero.

    i and j count unpadded tokens. Query head h reads key-value head h // (heads / kv_heads).
    """
    scale = 1 / math.sqrt(q.shape[3])
    if padding_mask is None:
        return _attend(q, k, v, window, causal, scale)
    if not causal and window >= q.shape[2]:
        return fused_softmax(q, k, v, False, padding_mask)
    q, k, v = pack(padding_mask, q, k, v)
    width = v.shape[3]
    if not causal:
        q, k, v = _with_bias(q, k, v, packed_padding(padding_mask))
    return unpack(padding_mask, _attend(q, k, v, window, causal, scale)[..., :width])


@dataclass(frozen=True)
class WindowCache:
    """The last `window` tokens in a key-value cache, which is begun anew when it has twice as many: an older state keeps its own."""

    window: int
    recent: Cache

    def append(self, k: KVHeads, v: KVHeads) -> WindowCache:
        """The cache with one token more, or several."""
        recent = self.recent
        if recent.length >= 2 * self.window:
            recent = Cache(recent.batch_size)
            if self.window > 1:
                recent = recent.append(*(x[:, :, 1 - self.window :] for x in (self.recent.keys, self.recent.values)))
        return WindowCache(self.window, recent.append(*(x[:, :, -self.window :] for x in (k, v))))

    def attend(self, q: Float[Tensor, "batch heads 1 head_dim"]) -> Float[Tensor, "batch heads 1 head_dim"]:
        """softmax(q K^T / sqrt(d)) V over the last `window` tokens."""
        keys, values = (x[:, :, -self.window :] for x in (self.recent.keys, self.recent.values))
        return F.scaled_dot_product_attention(fold_groups(q, keys.shape[1]), keys, values).view_as(q)


def _attend(q: Tensor, k: Tensor, v: Tensor, window: int, causal: bool, scale: float) -> Tensor:
    """The attention of sequences without padding."""
    batch, heads, seq_len, width = q.shape
    kv_heads, left, right = k.shape[1], window - 1, 0 if causal else window - 1
    if window >= seq_len:
        return fused_softmax(q, k, v, causal, scale=scale)
    block = _block(left + right)
    group, runs = heads // kv_heads, list(_runs(seq_len, left, right, block, ROWS.get(q.device.type, ROWS_ELSEWHERE)))
    band = _band(block, left, right, q).repeat(group, 1).unflatten(0, (group, block))
    keys, values, outs = k.flatten(0, 1), v.flatten(0, 1), []
    for run, rows in zip(runs, q.split([run.blocks * run.rows for run in runs], dim=2), strict=True):
        windows, keys = _Windows.apply(keys, run)  # type: ignore[no-untyped-call]
        windowed_values, values = _Windows.apply(values, run)  # type: ignore[no-untyped-call]
        mask = band[:, : run.rows, run.missing : run.missing + run.keys].flatten(0, 1)  # a view, for backward keeps it
        # The rows of the heads that read the same keys are rows of one block: [batch * kv_heads, blocks, group * rows, width].
        blocks = rows.reshape(batch * kv_heads, group, run.blocks, run.rows, width).transpose(1, 2).flatten(2, 3)
        out = F.scaled_dot_product_attention(blocks, windows, windowed_values, attn_mask=mask, scale=scale)
        out = out.unflatten(2, (group, run.rows)).transpose(1, 2)
        outs.append(out.reshape(batch, heads, run.blocks * run.rows, width))
    return torch.cat(outs, dim=2)


@dataclass(frozen=True)
class _Run:
    """Blocks of rows, one after the other, each of which reads so many keys.

    first_key: of the first block; it moves on with the rows. missing: keys that would come before, were there tokens.
    """

    blocks: int
    rows: int
    first_key: int
    keys: int
    missing: int = 0


def _block(others: int) -> int:
    """Rows of a block, if a row sees so many keys beside its own."""
    block = SMALLEST_BLOCK
    while others > KEYS_A_ROW * block and block < LARGEST_BLOCK:
        block *= 2
    return block


def _runs(seq_len: int, left: int, right: int, block: int, most: int) -> Iterator[_Run]:
    """All rows, in order, at most so many a run or one block; a row sees so many keys left and right of its own.

    A block at one of the ends, some of whose keys there are not, is a run of its own.
    """
    start = 0
    while start < seq_len:
        whole = (seq_len - right - start) // block  # blocks from here on whose last key there is
        if start >= left and whole > 0:
            blocks = min(whole, max(1, most // block))
            yield _Run(blocks, block, start - left, left + block + right)
            start += blocks * block
        else:
            stop, first_key = min(start + block, seq_len), max(0, start - left)
            yield _Run(1, stop - start, first_key, min(stop + right, seq_len) - first_key, missing=first_key - (start - left))
            start = stop


def _band(rows: int, left: int, right: int, like: Tensor) -> Float[Tensor, "rows keys"]:
    """What is added to the scores of a block whose first key is the leftmost that its first row sees: 0, and -inf outside the window."""
    distance = torch.arange(left + rows + right, device=like.device) - left - torch.arange(rows, device=like.device)[:, None]
    unseen = (distance < -left) | (distance > right)
    return torch.zeros(unseen.shape, dtype=like.dtype, device=like.device).masked_fill_(unseen, -math.inf)


class _Windows(torch.autograd.Function):
    """The keys that each block of a run reads, [heads, blocks, keys, width], a view; and all keys again, for the next run.

    In the backward pass the gradient of the keys goes from run to run, and each adds its own part: it is allocated once, and the gradients
    of the windows, as many times as large as windows overlap, are there for one run at a time.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, run: _Run) -> tuple[Tensor, Tensor]:
        return _windows(x, run, 0, run.keys), x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        x, ctx.run = inputs
        ctx.shape = x.shape
        ctx.set_materialize_grads(False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_windows: Tensor | None, of_later: Tensor | None) -> tuple[Tensor | None, None]:
        if of_windows is None:
            return of_later, None
        # Nobody else has the gradient of the later runs' keys, so that it may be added to.
        total = of_windows.new_zeros(ctx.shape) if of_later is None else of_later
        for start in range(0, ctx.run.keys, ctx.run.rows):
            stop = min(start + ctx.run.rows, ctx.run.keys)
            _windows(total, ctx.run, start, stop).add_(of_windows[:, :, start:stop])  # so narrow that none overlap
        return total, None


def _windows(x: Tensor, run: _Run, start: int, stop: int) -> Tensor:
    """Some of the keys that each block of a run reads, counted from its first, as a view [heads, blocks, stop - start, width]."""
    end = run.first_key + (run.blocks - 1) * run.rows + stop
    return x[:, run.first_key + start : end].unfold(1, stop - start, run.rows).mT


def _with_bias(q: Tensor, k: Tensor, v: Tensor, padding: PaddingMask) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values with more columns, by which each score of a padded key is so low that its weight is exactly zero."""
    low = 2.0**15 if q.dtype == torch.float16 else 2.0**50  # its square is finite in float32, in which scores are summed
    more = 8 - q.shape[3] % 8  # GPU kernels want widths that are multiples of 8
    q, k, v = (F.pad(x, (0, more)) for x in (q, k, v))
    q, k = q.clone(), k.clone()
    q[..., -1] = low
    k[..., -1] = padding[:, None].to(k.dtype) * -low
    return q, k, v
