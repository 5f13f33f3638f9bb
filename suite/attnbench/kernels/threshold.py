"""Sparse relatives of softmax, worked in blocks of rows: A_ij = [s_ij / p - tau_i]_+^p, with tau such that row i sums to one.

p = 1 is sparsemax (Martins and Astudillo 2016, arXiv 1602.02068), p = 2 entmax with alpha = 1.5 (Peters, Niculae, Martins 2019,
arXiv 1905.05702). tau comes from Newton's steps, exact but for rounding: f = ||[z - tau]_+||_p - 1 is convex and falls in tau, so that they
climb from below, never pass the zero, and end where no row moves any more. The tangent at the new point lies below the old value, hence
f_new / f + f'_new / f' <= 1, and each step makes f f' four times smaller at the least. Scores of a model take four to ten steps. Measured
on one core, 128 rows of 4,096 scores: 1.4 ms; to sort them, which is the textbook's way, takes 31 ms, with the same errors or larger.

No seq_len x seq_len matrix is held: the backward pass computes its blocks again, from two numbers a row. With x = [z - tau]_+ the Jacobian
of A = x^p in the scores is diag(w) - w w^T / sum w, w = x^{p-1}, which for p = 1 is one on the support.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from attnbench.attention import PaddingMask, at_least_float32
from attnbench.kernels.batching import by_folding
from attnbench.kernels.cache import Cache
from attnbench.kernels.tiles import flat

Rows = Float[Tensor, "batch heads seq_len head_dim"]
Values = Float[Tensor, "batch heads seq_len value_dim"]

MOST_STEPS = 64  # (2 log2 seq_len + digits) / 2 are enough: 42 for the 53 digits of float64 at 65,536 tokens
# 2 MB of float32 scores, the second-level cache of two cores; elsewhere 256 MB, for a launch costs more than a cache saves.
BLOCK_SCORES = {"cpu": 2**19}
BLOCK_SCORES_ELSEWHERE = 2**26
FEWEST_ROWS = 32  # of a block, so that long keys are not read again for every few queries


def threshold_attention(q: Rows, k: Rows, v: Values, power: int, causal: bool, padding_mask: PaddingMask | None) -> Values:
    """sum_j [q_i . k_j / (p sqrt d) - tau_i]_+^p v_j over the visible keys, in the dtype of v, differentiable in q, k and v.

    power: p, 1 or 2. q, k and v are zero at padding; rows of padding come out finite, and are to be hidden. Half precision is worked in
    float32.
    """
    dtype = v.dtype
    q, k, v = (at_least_float32(x) for x in (q, k, v))
    out, _ = _Blockwise.apply(_scaled(q, power), k, v, padding_mask, power, causal)  # type: ignore[no-untyped-call]
    return out.to(dtype)


def threshold_step(q: Float[Tensor, "batch heads 1 head_dim"], cache: Cache, power: int) -> Float[Tensor, "batch heads 1 value_dim"]:
    """`threshold_attention` of one token over the cached ones, in the dtype of the values."""
    scores = cache.scores(_scaled(at_least_float32(q), power))
    weights, _ = _excess_(scores, power, torch.empty_like(scores))
    return cache.weighted(weights.pow_(power)).to(cache.values.dtype)


def _scaled(q: Rows, power: int) -> Rows:
    return q / (power * q.shape[-1] ** 0.5)


def _excess_(scores: Tensor, power: int, scratch: Tensor) -> tuple[Tensor, Float[Tensor, "... rows 2"]]:
    """[z - tau]_+ in place, and the largest score and tau of each row, which is relative to it, from -1 to 0."""
    largest = scores.amax(-1, keepdim=True)
    scores.sub_(largest)
    tau = torch.full_like(largest, -1.0)
    for _ in range(MOST_STEPS):
        excess = torch.sub(scores, tau, out=scratch).relu_()
        if power == 1:
            total = excess.sum(-1, keepdim=True)
            step = (total - 1.0) / excess.sign_().sum(-1, keepdim=True)
        else:
            norm = torch.linalg.vector_norm(excess, dim=-1, keepdim=True)
            step = (norm - 1.0) * norm / excess.sum(-1, keepdim=True)
        higher = torch.fmax(tau, tau + step)  # beyond the zero, by rounding alone, a step would be back; a row of NaN stays
        if torch.equal(higher, tau):
            break
        tau = higher
    return scores.sub_(tau).relu_(), torch.cat([largest, tau], dim=-1)


class _Blockwise(torch.autograd.Function):
    """The rows, and beside them what the backward pass needs: the largest score and the threshold of each."""

    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor, padding_mask: Tensor | None, power: int, causal: bool) -> tuple[Tensor, Tensor]:
        blocks = _Blocks(q, k, v, padding_mask, causal)
        out, bounds = v.new_empty(blocks.v.shape), q.new_empty(*blocks.q.shape[:2], 2)
        for heads, rows, keys in blocks:
            scores, scratch = blocks.score(heads, rows, keys)
            weights, bounds[heads, rows] = _excess_(scores, power, scratch)
            out[heads, rows] = weights.pow_(power) @ blocks.v[heads, keys]
        return out.view(v.shape), bounds.view(*q.shape[:-1], 2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        q, k, v, padding_mask, ctx.power, ctx.causal = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(q, k, v, padding_mask, output[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, padding_mask, bounds = ctx.saved_tensors
        blocks = _Blocks(q, k, v, padding_mask, ctx.causal)
        d_out, bounds = flat(upstream), flat(bounds)
        dq, dk, dv = q.new_empty(blocks.q.shape), k.new_zeros(blocks.k.shape), v.new_zeros(blocks.v.shape)
        for heads, rows, keys in blocks:
            slope, scratch = blocks.score(heads, rows, keys)
            largest, tau = bounds[heads, rows].split(1, dim=-1)
            slope.sub_(largest).sub_(tau).relu_()
            d_rows = d_out[heads, rows]
            dv[heads, keys].baddbmm_(torch.pow(slope, ctx.power, out=scratch).mT, d_rows)
            if ctx.power == 1:
                slope.sign_()
            torch.bmm(d_rows, blocks.v[heads, keys].mT, out=scratch)
            d_scores = scratch.mul_(slope)
            d_scores.addcmul_(slope, d_scores.sum(-1, keepdim=True) / slope.sum(-1, keepdim=True), value=-1.0)
            dq[heads, rows] = d_scores @ blocks.k[heads, keys]
            dk[heads, keys].baddbmm_(d_scores.mT, blocks.q[heads, rows])
        # d_scores is the gradient of the scores s; q gives z = s / p.
        return dq.mul_(ctx.power).view(q.shape), dk.mul_(ctx.power).view(k.shape), dv.view(v.shape), None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        return by_folding(_Blockwise, info, in_dims, inputs)


class _Blocks:
    """Blocks of heads and rows, with queries, keys and values as [batch * heads, seq_len, _], and the two buffers that all blocks use."""

    def __init__(self, q: Tensor, k: Tensor, v: Tensor, padding_mask: Tensor | None, causal: bool) -> None:
        self.q, self.k, self.v = flat(q), flat(k), flat(v)
        self.causal = causal
        self.padding = None if padding_mask is None else padding_mask.repeat_interleave(q.shape[1], 0)[:, None]
        self.all_heads, self.seq_len, _ = self.q.shape
        size = BLOCK_SCORES.get(q.device.type, BLOCK_SCORES_ELSEWHERE)
        self.rows = min(self.seq_len, max(FEWEST_ROWS, size // self.seq_len))
        self.heads = max(1, min(self.all_heads, size // (self.rows * self.seq_len)))
        self.buffers = q.new_empty(2, self.heads * self.rows * self.seq_len)

    def __iter__(self) -> Iterator[tuple[slice, slice, slice]]:
        """Heads, rows and the keys that any of these rows may see."""
        for heads in range(0, self.all_heads, self.heads):
            for row in range(0, self.seq_len, self.rows):
                end = min(row + self.rows, self.seq_len)
                yield slice(heads, min(heads + self.heads, self.all_heads)), slice(row, end), slice(end if self.causal else self.seq_len)

    def score(self, heads: slice, rows: slice, keys: slice) -> tuple[Tensor, Tensor]:
        """A block of scores and a block of the same shape to work in. What a row may not see has the least finite score.

        Not -inf: a row that sees nothing, as one of padding may, then has equal weights instead of NaN.
        """
        queries, turned = self.q[heads, rows], self.k[heads, keys].mT
        shape = (*queries.shape[:2], turned.shape[2])
        scores, scratch = (buffer[: queries.shape[0] * shape[1] * shape[2]].view(shape) for buffer in self.buffers)
        torch.bmm(queries, turned, out=scores)
        least = torch.finfo(scores.dtype).min
        if self.causal:
            own = scores[..., rows]  # the keys of the rows themselves; those before are seen by all
            own.masked_fill_(own.new_ones(own.shape[1:], dtype=torch.bool).triu_(1), least)
        if self.padding is not None:
            scores.masked_fill_(self.padding[heads, :, keys], least)
        return scores, scratch
