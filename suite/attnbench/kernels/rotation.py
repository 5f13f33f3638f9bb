"""exp(S) V for S = c U J U^T, U = [Q, K], J = [[0, I], [-I, 0]], with its gradient by hand: exact, and linear in seq_len.

    exp(S) V = V + c U Y^T,    Y = T phi1(N),    N = c G J^T,    T = F J^T,    G = U^T U,    F = V^T U

    dY = c dO^T U,   dU = U (dG + dG^T) + V dF + c dO Y,   dV = dO + U dF^T,   dc = <dO^T U, T exp(N)>,   exp(N) = I + phi1(N) N

with dG and dF as in turned.py. dc is that, for S / c commutes with exp(S). Short sequences are worked at once, in as few operations as can
be: with many small heads their number counts. Long ones are worked in chunks of tokens that stay in the cache. Autograd would need three
times as many tensors, and beyond the cache its time would grow faster than seq_len.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from attnbench.kernels.turned import PullBack, turn, turned_phi1

Rows = Float[Tensor, "batch heads seq_len head_dim"]
Values = Float[Tensor, "batch heads seq_len width"]

CHUNK_TOKENS = 512
CHUNK_VALUES = 2**19  # 2 MB of float32, half the second-level caches of two cores
CHUNK_VALUES_ELSEWHERE = 2**28  # where a launch costs more than a cache saves; not measured


def rotate(q: Rows, k: Rows, v: Values, c: Float[Tensor, "heads 1 1"]) -> Values:
    """exp(S) v, S = c (q k^T - k q^T), differentiable once in q, k, v and c; all of one dtype, float32 or wider.

    Where seq_len is near 2 head_dim or below, U^T U is close to singular, and its rounding alone would cost orthogonality at a large norm:
    there the small matrices are float64, and so is the product with them.
    """
    function = _Whole if q.device.type == "cpu" and q.shape[-2] <= CHUNK_TOKENS else _Chunked
    out: Tensor = function.apply(q, k, v, c)  # type: ignore[no-untyped-call]
    return out


class _Whole(torch.autograd.Function):
    """Sequences no longer than a chunk, all at once; U is kept for the gradient."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, c: Tensor) -> Tensor:
        needs_gradient, precise = any(ctx.needs_input_grad), _precise(q)
        u, values = torch.cat([q, k], dim=-1).flatten(0, 1), v.reshape(-1, *v.shape[-2:])
        scale = _each(c, len(q)).to(precise)
        wide, wide_values = u.to(precise), values.to(precise)
        n, t = turn(torch.bmm(wide.mT, wide), -scale), turn(torch.bmm(wide_values.mT, wide), -1.0)
        y, ctx.pull_back = turned_phi1(n, t, needs_gradient)
        if needs_gradient:
            ctx.save_for_backward(u, values, n, t, y, scale)
        return torch.baddbmm(wide_values, wide, (y * scale).mT).to(v.dtype).view(v.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, ...]:
        u, v, n, t, y, scale = ctx.saved_tensors
        go, dim = upstream.reshape(v.shape), u.shape[-1] // 2
        w, f, y, gc = _pull_back(ctx.pull_back, torch.bmm(go.mT, u), n, t, y, scale)
        gq, gk = (
            torch.bmm(u, w[..., half]).baddbmm_(v, f[..., half]).baddbmm_(go, y[..., half]) for half in (slice(dim), slice(dim, None))
        )
        return _unflat(upstream, gq, gk, torch.baddbmm(go, u, f.mT), gc)


class _Chunked(torch.autograd.Function):
    """Longer sequences, in chunks of tokens, with one product a chunk for each of G, dY and dU."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, c: Tensor) -> Tensor:
        flat, dim, precise = _flat(q, k, v), q.shape[-1], _precise(q)
        scale, pair = _each(c, len(q)).to(precise), 2 * dim
        gram = q.new_zeros(len(flat[0]), pair, pair + v.shape[-1], dtype=precise)
        for block in _blocks(flat):
            uv = _join(flat, block).to(precise)
            gram[block[0]].baddbmm_(uv[..., :pair].mT, uv)
        n, t = turn(gram[..., :pair], -scale), turn(gram[..., pair:].mT, -1.0)
        y, ctx.pull_back = turned_phi1(n, t, any(ctx.needs_input_grad))
        ctx.save_for_backward(*flat, n, t, y, scale)
        out, y = torch.empty_like(flat[2]), y * scale
        for heads, tokens in _blocks(flat):
            queries, keys, values = (x[heads, tokens].to(precise) for x in flat)
            out[heads, tokens] = torch.baddbmm(values, queries, y[heads, :, :dim].mT).baddbmm_(keys, y[heads, :, dim:].mT)
        return out.view(v.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, ...]:
        *flat, n, t, y, scale = ctx.saved_tensors
        flat = [*flat, *_flat(upstream)]
        gy = flat[0].new_zeros(y.shape)
        for heads, tokens in _blocks(flat):
            gy[heads].baddbmm_(flat[3][heads, tokens].mT, _join(flat[:2], (heads, tokens)))
        w, f, y, gc = _pull_back(ctx.pull_back, gy, n, t, y, scale)
        left, right = torch.cat([w, f, y], dim=-2).chunk(2, dim=-1)
        gq, gk, gv = (torch.empty_like(x) for x in flat[:3])
        for heads, tokens in _blocks(flat):
            joined = _join(flat, (heads, tokens))
            torch.bmm(joined, left[heads], out=gq[heads, tokens])
            torch.bmm(joined, right[heads], out=gk[heads, tokens])
            torch.baddbmm(flat[3][heads, tokens], joined[..., : f.shape[-1]], f[heads].mT, out=gv[heads, tokens])
        return _unflat(upstream, gq, gk, gv, gc)


def _precise(q: Tensor) -> torch.dtype:
    return torch.float64 if q.shape[-2] <= 3 * q.shape[-1] else q.dtype


def _flat(*tensors: Tensor) -> list[Tensor]:
    """With the heads of all sequences in one axis."""
    return [x.reshape(-1, *x.shape[-2:]) for x in tensors]


def _each(c: Tensor, batch: int) -> Tensor:
    """c of the heads of every sequence, [batch * heads, 1, 1]."""
    return c.expand(batch, *c.shape).flatten(0, 1)


def _pull_back(pull_back: PullBack, gy: Tensor, n: Tensor, t: Tensor, y: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """dG + dG^T, dF, c Y and dc of every head, in the dtype of gy, which is dO^T U."""
    dtype, gy = gy.dtype, gy.to(y.dtype)
    gc = (gy * torch.bmm(y, n).add_(t)).sum((-2, -1))
    p, f = pull_back(gy * scale)
    w = (p + p.mT).mul_(scale)
    return w.to(dtype), f.to(dtype), (y * scale).to(dtype), gc.to(dtype)


def _unflat(upstream: Tensor, gq: Tensor, gk: Tensor, gv: Tensor, gc: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of q, k, v and c as `forward` was given them."""
    batch, heads = upstream.shape[:2]
    g_q, g_k, g_v = (x.unflatten(0, (batch, heads)) for x in (gq, gk, gv))
    return g_q, g_k, g_v, gc.view(batch, heads, 1, 1).sum(0)


def _blocks(flat: list[Tensor]) -> Iterator[tuple[slice, slice]]:
    """Heads and tokens of every chunk."""
    heads, seq_len, _ = flat[0].shape
    width = sum(x.shape[-1] for x in flat)
    if flat[0].device.type == "cpu":
        tokens, values = min(seq_len, CHUNK_TOKENS), CHUNK_VALUES
    else:
        tokens, values = seq_len, CHUNK_VALUES_ELSEWHERE
    at_once = max(1, values // (tokens * width))
    for head in range(0, heads, at_once):
        for start in range(0, seq_len, tokens):
            yield slice(head, head + at_once), slice(start, start + tokens)


def _join(flat: list[Tensor], block: tuple[slice, slice]) -> Tensor:
    return torch.cat([x[block] for x in flat], dim=-1)
