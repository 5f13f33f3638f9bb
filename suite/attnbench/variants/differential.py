"""Differential attention: the difference of two softmax maps, in which common noise cancels, then a norm per head.

Heads 2h and 2h+1 are one differential head: their queries and keys make the maps A1 and A2, their values side by side the value V,
[seq_len, 2d], and the result is split over the two heads again.

    out = (1 - lambda_init) RMSNorm((A1 - lambda A2) V),    A_i = softmax(Q_i K_i^T / sqrt(d))
    lambda = exp(l_q1 . l_k1) - exp(l_q2 . l_k2) + lambda_init,    lambda_init = 0.8 - 0.6 exp(-0.3 layer_index)

layer_index counts from 0 (the paper's l from 1, and it takes l - 1). As in the authors' code, lambda and the 2d weights of the norm
are shared by the heads of a layer. The norm is not linear in V, so that there is no attention matrix.

Ye et al. 2025, Differential Transformer, arXiv 2410.05258.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnbench.attention import Heads, PaddingMask, Shape, Variant, at_least_float32
from attnbench.kernels.cache import Cache
from attnbench.kernels.definition import Seen, rows_by
from attnbench.kernels.fused_softmax import fused_softmax


class Differential(nn.Module):
    """Parameters: four vectors [head_dim] that make lambda, normal with deviation 0.1, and the weight [2 head_dim] of the norm."""

    def __init__(self, head_dim: int, layer_index: int) -> None:
        super().__init__()
        self.lambda_init = 0.8 - 0.6 * math.exp(-0.3 * layer_index)
        self.lambda_q1, self.lambda_k1, self.lambda_q2, self.lambda_k2 = (nn.Parameter(0.1 * torch.randn(head_dim)) for _ in range(4))
        self.norm = nn.RMSNorm(2 * head_dim, eps=1e-5)

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        d = q.shape[-1]
        # Queries and keys get d zeros more, which change no score: torch's CPU kernel is fused only where q, k and v are equally wide.
        q, k = F.pad(q, (0, d)), F.pad(k, (0, d))
        pair = _side_by_side(v)
        first, second = (fused_softmax(q[:, i::2], k[:, i::2], pair, causal, padding_mask, 1 / math.sqrt(d)) for i in (0, 1))
        return self._finish(first - self._lambda().to(v.dtype) * second)

    def init_state(self, batch_size: int) -> Cache:
        return Cache(batch_size)

    def prefill(self, q: Heads, k: Heads, v: Heads) -> Cache:
        return Cache(q.shape[0]).append(k, _side_by_side(v))

    def step(self, q: Heads, k: Heads, v: Heads, state: Cache) -> tuple[Heads, Cache]:
        """By explicit rows: of one query they are small, and their difference meets the values once."""
        state = state.append(k, _side_by_side(v))
        maps = state.scores(at_least_float32(q) / math.sqrt(q.shape[-1])).softmax(-1)  # [batch, heads, 1, tokens]
        out = state.weighted(maps[:, 0::2] - self._lambda().to(maps.dtype) * maps[:, 1::2])
        return self._finish(out.to(v.dtype)), state

    def _finish(self, pair: Tensor) -> Heads:
        """Norm and split of [batch, pairs, seq_len, 2d]."""
        out = (1 - self.lambda_init) * self.norm(pair)
        return out.unflatten(-1, (2, -1)).transpose(2, 3).flatten(1, 2)

    def _lambda(self) -> Tensor:
        first, second = self.lambda_q1 @ self.lambda_k1, self.lambda_q2 @ self.lambda_k2
        return first.exp() - second.exp() + self.lambda_init


def _side_by_side(v: Heads) -> Tensor:
    """The values of the two heads of a pair, [batch, pairs, seq_len, 2d]."""
    return v.unflatten(1, (-1, 2)).transpose(2, 3).flatten(-2)


def rows_by_definition(module: nn.Module, seen: Seen) -> Tensor:
    """(1 - lambda_init) RMSNorm((A1 - lambda A2) [V1, V2]), split over the two heads of each pair."""
    assert isinstance(module, Differential)
    q1, k1, q2, k2, weight = (
        module.get_parameter(name).to(seen.q.dtype) for name in ("lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2", "norm.weight")
    )
    factor = (q1 * k1).sum().exp() - (q2 * k2).sum().exp() + module.lambda_init
    maps = seen.softmax(seen.scores())
    difference = maps[:, 0::2] - factor * maps[:, 1::2]
    pair = torch.cat([difference @ seen.v[:, 0::2], difference @ seen.v[:, 1::2]], dim=-1)  # [batch, pairs, rows, 2 head_dim]
    normed = (1 - module.lambda_init) * weight * pair / (pair.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return torch.stack(normed.chunk(2, dim=-1), dim=2).flatten(1, 2)


def build(shape: Shape) -> nn.Module:
    return Differential(shape.head_dim, shape.layer_index or 0)


VARIANT = Variant(
    build=build,
    citation="Ye et al. 2025, Differential Transformer, arXiv 2410.05258",
    family="softmax",
    formula=r"(1 - \lambda_{0}) \operatorname{RMSNorm}((A_{1} - \lambda A_{2}) V),\quad A = \operatorname{softmax}(Q K^{\top} / \sqrt{d})",
    causal=True,
    normalises_rows=False,
    equivariant=True,
    time_exponent=2.0,
    memory_exponent=1.0,
    head_group=2,
    reference_rows=rows_by(rows_by_definition),
    implementation={"cpu": "tuned", "cuda": "tuned"},
)
