"""exp(S) V for S = c U J U^T, U = [Q, K], J = [[0, I], [-I, 0]], with its gradient by hand: exact, and linear in seq_len.

    exp(S) V = V + U Y,    Y = phi1(M) T,    [M, T] = c J G,    G = U^T [U, V]

    dY = U^T dO,   dG = -c J [dM, dT],   dU = U (dG_u + dG_u^T) + V dG_v^T + dO Y^T,   dV = dO + U dG_v

Tensors as long as the sequence are worked in chunks of tokens that stay in the cache, with one product a chunk for each of G, dY and dU.
Autograd would need three times as many tensors, and beyond the cache its time would grow faster than seq_len.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from attnbench.kernels.phi1 import phi1_and_pull_back

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
    out: Tensor = _Rotation.apply(q, k, v, c)  # type: ignore[no-untyped-call]
    return out


class _Rotation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, c: Tensor) -> Tensor:
        pair, seq_len = 2 * q.shape[-1], q.shape[-2]
        precise = torch.float64 if seq_len <= 1.5 * pair else q.dtype
        flat = [x.reshape(-1, *x.shape[-2:]) for x in (q, k, v)]
        gram = q.new_zeros(len(flat[0]), pair, pair + v.shape[-1], dtype=precise)
        for block in _blocks(flat):
            uv = _join(flat, block).to(precise)
            gram[block[0]].baddbmm_(uv[..., :pair].mT, uv)
        scale = c.to(precise).expand(len(q), *c.shape).flatten(0, 1)
        small = _turn(gram, scale)
        y, ctx.pull_back = phi1_and_pull_back(small[..., :pair], small[..., pair:], any(ctx.needs_input_grad))
        ctx.save_for_backward(q, k, v, y.to(q.dtype), gram, scale)
        out = v.new_empty(flat[2].shape)
        upper, lower = y.chunk(2, dim=-2)
        for heads, tokens in _blocks(flat):
            queries, keys, values = (x[heads, tokens].to(precise) for x in flat)
            out[heads, tokens] = torch.baddbmm(values, queries, upper[heads]).baddbmm_(keys, lower[heads])
        return out.view(v.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, ...]:
        q, k, v, y, gram, scale = ctx.saved_tensors
        pair = 2 * q.shape[-1]
        flat = [x.reshape(-1, *x.shape[-2:]) for x in (q, k, v, upstream)]
        gy = torch.zeros_like(y)
        for heads, tokens in _blocks(flat):
            gy[heads].baddbmm_(_join(flat[:2], (heads, tokens)).mT, flat[3][heads, tokens])
        gm, gt = ctx.pull_back(gy.to(gram.dtype))
        gc = (_against_turned(gm, gram[..., :pair]) + _against_turned(gt, gram[..., pair:])).view(len(q), -1).sum(0)
        g_u, g_v = (_turn(x, -scale).to(y.dtype) for x in (gm, gt))
        weights = torch.cat([g_u + g_u.mT, g_v.mT, y.mT], dim=-2)  # of [u, v, upstream]
        left, right = weights.chunk(2, dim=-1)
        gq, gk, gv = (x.new_empty(x.shape) for x in flat[:3])
        for heads, tokens in _blocks(flat):
            joined = _join(flat, (heads, tokens))
            torch.bmm(joined, left[heads], out=gq[heads, tokens])
            torch.bmm(joined, right[heads], out=gk[heads, tokens])
            torch.baddbmm(flat[3][heads, tokens], joined[..., :pair], g_v[heads], out=gv[heads, tokens])
        return gq.view(q.shape), gk.view(k.shape), gv.view(v.shape), gc.view(-1, 1, 1).to(y.dtype)


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


def _turn(x: Tensor, scale: Tensor) -> Tensor:
    """scale J x: the lower half, then minus the upper half."""
    upper, lower = x.chunk(2, dim=-2)
    turned = torch.empty_like(x, memory_format=torch.contiguous_format)
    half = upper.shape[-2]
    torch.mul(lower, scale, out=turned[:, :half])
    torch.mul(upper, -scale, out=turned[:, half:])
    return turned


def _against_turned(x: Tensor, y: Tensor) -> Tensor:
    """The inner product of x and J y, one for each of the batch."""
    (x_upper, x_lower), (y_upper, y_lower) = x.chunk(2, dim=-2), y.chunk(2, dim=-2)
    return (x_upper * y_lower).sum((-2, -1)) - (x_lower * y_upper).sum((-2, -1))
