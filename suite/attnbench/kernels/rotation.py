"""(exp(c U J U^T) - I) V for U = [Q, K], J = [[0, I], [-I, 0]], with its gradient by hand: exact, and linear in seq_len.

    out = U phi1(M) T,    [M, T] = P^T [U, V],    P = (c J U^T)^T = [c K, -c Q]

so that two products with the long side go forward and four back. For small images what counts is the number of tensors made, and
autograd makes three times as many.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from attnbench.kernels.phi1 import phi1_and_pull_back

Rows = Float[Tensor, "batch heads seq_len head_dim"]
Values = Float[Tensor, "batch heads seq_len width"]


def rotation(q: Rows, k: Rows, v: Values, c: Float[Tensor, "heads 1 1"]) -> Values:
    """(exp(S) - I) v, S = c (q k^T - k q^T), differentiable once in q, k, v and c; all of one dtype, float32 or wider.

    Where seq_len is near 2 head_dim or below, U^T U is close to singular, and its rounding alone would cost orthogonality at a large norm:
    there the small matrices are made in float64.
    """
    out: Tensor = _Rotation.apply(q, k, v, c)  # type: ignore[no-untyped-call]
    return out


class _Rotation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, c: Tensor) -> Tensor:
        width = 2 * q.shape[-1]
        precise = torch.float64 if q.shape[-2] <= 3 * q.shape[-1] else q.dtype
        uv = torch.cat([q, k, v], dim=-1)
        p = torch.cat([c * k, -c * q], dim=-1)
        small = p.mT.to(precise) @ uv.to(precise)
        y, ctx.pull_back = phi1_and_pull_back(small[..., :width], small[..., width:], any(ctx.needs_input_grad))
        y = y.to(q.dtype)
        ctx.save_for_backward(uv, p, y, c)
        ctx.precise = precise
        return uv[..., :width] @ y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, ...]:
        uv, p, y, c = ctx.saved_tensors
        width = p.shape[-1]
        head_dim = width // 2
        u = uv[..., :width]
        gm, gt = ctx.pull_back((u.mT @ upstream).to(ctx.precise))
        small = torch.cat([gm, gt], dim=-1).to(uv.dtype)
        gp = uv @ small.mT
        g = p @ small
        g[..., :width] += upstream @ y.mT
        gk_scaled, gq_scaled = gp[..., :head_dim], gp[..., head_dim:]
        gq = torch.sub(g[..., :head_dim], c * gq_scaled)
        gk = torch.add(g[..., head_dim:width], c * gk_scaled)
        gc = (gk_scaled * uv[..., head_dim:width] - gq_scaled * uv[..., :head_dim]).sum((0, 2, 3)).view(c.shape)
        return gq, gk, g[..., width:], gc
