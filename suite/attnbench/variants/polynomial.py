"""Polynomial attention: an elementwise power of the scores, scaled by 1/sqrt(N), in place of softmax.

A_ij = scale * phi(q_i . k_j / sqrt(d)), phi(x) = x^p or a sum of powers, out = A V. The scale keeps ||A||_F = O(sqrt(N)),
which softmax satisfies by itself. N is the number of unpadded keys that the row may see. The sum is taken in tiles or, exactly too, in
time linear in seq_len by symmetric features, whichever is cheaper at that length, width and degree; no matrix is held.

Saratchandran, Zheng, Ji, Zhang, Lucey 2024, arXiv 2410.18613.
"""

from __future__ import annotations

import math
from collections import Counter

import torch
from torch import Tensor, nn

from attnbench.attention import (
    BadInput,
    Heads,
    KVHeads,
    Matrix,
    PaddingMask,
    Shape,
    Variant,
    count_visible,
    fold_groups,
    hide_padding,
    hide_unseen,
    repeat_heads,
)
from attnbench.kernels.cache import Cache
from attnbench.kernels.definition import Seen, Weights, per_head, rows_of_matrix
from attnbench.kernels.polynomial import polynomial_attention
from attnbench.kernels.polynomial_step import PolynomialState, polynomial_prefill, polynomial_step


class Polynomial(nn.Module):
    """degree: a power, or the powers of a sum such as (3, 1) for x^3 + x.

    scale: "sqrt" for 1/sqrt(N), "learned" for gamma_h / sqrt(N) with gamma_h = 1 at the start and one per head, or a fixed number
    such as 1/14 (the paper's x^3/14 for 196 patches).
    """

    def __init__(self, num_heads: int, degree: object, scale: object) -> None:
        super().__init__()
        powers = tuple(degree) if isinstance(degree, (tuple, list)) else (degree,)
        if not powers or not all(type(p) is int and p >= 1 for p in powers):
            raise BadInput(f"degree is {degree!r}; give a whole number of at least 1, or several such as (3, 1)")
        fixed = type(scale) in (int, float) and math.isfinite(scale)  # type: ignore[arg-type]
        if not fixed and scale not in ("sqrt", "learned"):
            raise BadInput(f"scale is {scale!r}; give 'sqrt', 'learned' or a number")
        # A power that is given twice counts twice.
        self.coefficients = tuple((power, float(times)) for power, times in Counter(powers).items())
        self.fixed_scale = float(scale) if fixed else None  # type: ignore[arg-type]
        self.gain = nn.Parameter(torch.ones(num_heads)) if scale == "learned" else None

    def forward(self, q: Heads, k: KVHeads, v: KVHeads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        q, k, v = hide_padding(padding_mask, q, *repeat_heads(q.shape[1], k, v))
        out = polynomial_attention(q, k, v, self.coefficients, causal, self._scale(q, causal, padding_mask))
        return out if self.gain is None else out * self.gain[:, None, None]

    def init_state(self, batch_size: int) -> PolynomialState:
        return PolynomialState(Cache(batch_size))

    def prefill(self, q: Heads, k: KVHeads, v: KVHeads) -> PolynomialState:
        return polynomial_prefill(k, v, self.coefficients)

    def step(self, q: Heads, k: KVHeads, v: KVHeads, state: PolynomialState) -> tuple[Heads, PolynomialState]:
        sums, state = polynomial_step(fold_groups(q, k.shape[1]), k, v, state, self.coefficients)
        scale = 1 / math.sqrt(state.length) if self.fixed_scale is None else self.fixed_scale
        out = (sums[..., :-1] * scale).to(v.dtype).reshape(q.shape)
        return (out if self.gain is None else out * self.gain[:, None, None]), state

    def matrix(self, q: Heads, k: KVHeads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        q, k = hide_padding(padding_mask, q, *repeat_heads(q.shape[1], k))
        scores = q @ (k / math.sqrt(q.shape[-1])).mT
        activation = sum((factor * scores**power for power, factor in self.coefficients), start=torch.zeros_like(scores))
        activation = activation * self._scale(q, causal, padding_mask)
        if self.gain is not None:
            activation = activation * self.gain[:, None, None]
        return hide_unseen(activation.to(q.dtype), causal, padding_mask)

    def _scale(self, q: Heads, causal: bool, padding_mask: PaddingMask | None) -> Tensor | float:
        if self.fixed_scale is not None:
            return self.fixed_scale
        return count_visible(q.shape[-2], causal, padding_mask, q.device).rsqrt().to(torch.promote_types(q.dtype, torch.float32))


def rows_by_definition(module: nn.Module, seen: Seen) -> Weights:
    """scale phi(s), each power written out."""
    assert isinstance(module, Polynomial)
    scores = seen.scores()
    weights = torch.stack([times * scores**power for power, times in module.coefficients]).sum(0)
    weights = weights * (seen.count().rsqrt().to(scores.dtype) if module.fixed_scale is None else module.fixed_scale)
    if module.gain is not None:
        weights = weights * per_head(module, "gain", scores)
    return seen.only_visible(weights)


def build(shape: Shape, degree: object, scale: object) -> nn.Module:
    return Polynomial(shape.num_heads, degree, scale)


VARIANT = Variant(
    build=build,
    citation="Saratchandran, Zheng, Ji, Zhang, Lucey 2024, Self-Attention with Polynomial Activations, arXiv 2410.18613",
    family="polynomial",
    formula=r"(Q K^{\top} / \sqrt{d})^{3} V / \sqrt{N}",
    causal=True,
    normalises_rows=False,
    equivariant=True,
    grouped=True,
    time_exponent=2.0,
    memory_exponent=1.0,
    params={"degree": 3, "scale": "sqrt"},
    reference_rows=rows_of_matrix(rows_by_definition),
    implementation={"cuda": "tuned"},
)
