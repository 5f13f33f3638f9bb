"""Cosine attention: softmax of the cosines of queries and keys, times a temperature learned per head.

A = softmax(tau q^ . k^), q^ = q / ||q||, k^ = k / ||k||, out = A V; tau = exp(min(log_scale, log 100)), log_scale = log 10 at the
start. A zero vector has no direction and is left at zero.

Liu et al. 2022, Swin Transformer V2, arXiv 2111.09883.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from attnbench.attention import Heads, Matrix, PaddingMask, Shape, Variant, at_least_float32, hide_padding, unit_values
from attnbench.kernels.cache import Cache
from attnbench.kernels.definition import Seen, Weights, per_head, rows_of_matrix
from attnbench.kernels.fused_softmax import fused_softmax, fused_softmax_step

INITIAL_SCALE, LARGEST_SCALE = 10.0, 100.0


class Cosine(nn.Module):
    """log_scale, the logarithm of the temperature, has shape [num_heads]."""

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.full((num_heads,), math.log(INITIAL_SCALE)))

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        return self._attend(q, k, v, causal, padding_mask)

    def _attend(self, q: Heads, k: Heads, v: Tensor, causal: bool, padding_mask: PaddingMask | None) -> Tensor:
        q, k = hide_padding(padding_mask, q, k)
        return fused_softmax(_direction(q, self._scale()), _direction(k), v, causal, padding_mask, scale=1.0)

    def _scale(self) -> Tensor:
        return self.log_scale.clamp(max=math.log(LARGEST_SCALE)).exp()[:, None, None]

    def init_state(self, batch_size: int) -> Cache:
        return Cache(batch_size)

    def prefill(self, q: Heads, k: Heads, v: Heads) -> Cache:
        return Cache(q.shape[0]).append(_direction(k), v)

    def step(self, q: Heads, k: Heads, v: Heads, state: Cache) -> tuple[Heads, Cache]:
        state = state.append(_direction(k), v)
        return fused_softmax_step(_direction(q, self._scale()), state, scale=1.0), state

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        return self._attend(q, k, unit_values(q), causal, padding_mask)


def _direction(x: Heads, length: Tensor | float = 1.0) -> Heads:
    """x at the given length; a zero vector stays zero, and its gradient finite."""
    wide = at_least_float32(x)  # a norm of 8 bits would be off by 0.4 %
    norm = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
    return (wide * (length / norm.masked_fill(norm == 0.0, 1.0))).to(x.dtype)


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """softmax(tau q . k / (||q|| ||k||)), a cosine of 0 for a zero vector."""
    log_scale = per_head(module, "log_scale", seen.q)
    products = torch.linalg.vector_norm(seen.q, dim=-1)[..., :, None] * torch.linalg.vector_norm(seen.k, dim=-1)[..., None, :]
    cosines = seen.q @ seen.k.mT / products.masked_fill(products == 0.0, 1.0)
    return seen.softmax(log_scale.clamp(max=math.log(LARGEST_SCALE)).exp() * cosines)


def build(shape: Shape) -> nn.Module:
    return Cosine(shape.num_heads)


VARIANT = Variant(
    build=build,
    citation="Liu et al. 2022, Swin Transformer V2, arXiv 2111.09883",
    family="softmax",
    formula=r"\operatorname{softmax}(\tau \operatorname{cos}(Q, K)) V",
    causal=True,
    normalises_rows=True,
    equivariant=True,
    time_exponent=2.0,
    memory_exponent=1.0,
    reference_rows=rows_of_matrix(rows_by_definition),
    implementation={"cpu": "tuned", "cuda": "tuned"},
)
