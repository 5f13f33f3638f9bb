"""What the Triton kernels of polynomial attention share: tiles of rows in memory, and the activation with its slope.

Rows outside seq_len and columns outside head_dim read as zero. That alone keeps them out of every result, without a mask on the
scores: the activation of a zero score is zero, and so is the product with a zero row of the gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, no_type_check

import triton
import triton.language as tl


@dataclass(frozen=True)
class Plan:
    """What a kernel is compiled for.

    powers, coefficients: phi(q.k / sqrt(d)) = c sum_p coefficient_p (unit q.k)^p, powers ascending, the first coefficient 1.
    unit:        what a score is multiplied by before its powers are taken; c is part of the factor given at the call.
    block_d:     head_dim rounded up to a power of two, at least the 16 of a tensor core.
    per_row:     whether the scale differs from row to row.
    scale_first: whether the scale goes into phi, whose values may leave the range of float16 without it, or onto the sums.
    precision:   of products of float32, a word of tl.dot.
    queries, keys: rows of a block.
    """

    powers: tuple[int, ...]
    coefficients: tuple[float, ...]
    unit: float
    head_dim: int
    block_d: int
    causal: bool
    per_row: bool
    scale_first: bool
    precision: str
    queries: int
    keys: int

    @property
    def slopes(self) -> tuple[float, ...]:
        """Coefficients of the derivative, over the first power: (p / p_1) c_p."""
        return tuple(power / self.powers[0] * c for power, c in zip(self.powers, self.coefficients, strict=True))

    @property
    def chain(self) -> float:
        """What the derivative of phi by q.k still lacks: the first power, and the unit."""
        return self.powers[0] * self.unit


class Rows(NamedTuple):
    """A tensor [batch, heads, seq_len, head_dim] as a kernel is given it."""

    start: Any
    strides: tuple[int, ...]


@triton.jit
@no_type_check
def first_row(rows, head, heads):
    """Where a head begins; in 64 bits, for a tensor may hold more than 2^31 elements."""
    return rows.start + (head // heads).to(tl.int64) * rows.strides[0] + (head % heads).to(tl.int64) * rows.strides[1]


@triton.jit
@no_type_check
def _tile(head, strides, begin, seq_len, COUNT: tl.constexpr, PLAN: tl.constexpr):
    """Where COUNT rows of a head lie from row begin on, [COUNT, block_d], and which of these places are in the tensor."""
    rows = tl.arange(0, COUNT)[:, None]
    columns = tl.arange(0, PLAN.block_d)[None, :]
    places = head + tl.cast(begin, tl.int64) * strides[2] + (rows.to(tl.int64) * strides[2] + columns.to(tl.int64) * strides[3])
    inside = begin + rows < seq_len
    if PLAN.head_dim < PLAN.block_d:
        inside = inside & (columns < PLAN.head_dim)
    return places, inside


@triton.jit
@no_type_check
def load_rows(head, strides, begin, seq_len, COUNT: tl.constexpr, PLAN: tl.constexpr):
    places, inside = _tile(head, strides, begin, seq_len, COUNT, PLAN)
    return tl.load(places, mask=inside, other=0.0)


@triton.jit
@no_type_check
def store_rows(head, strides, begin, seq_len, values, COUNT: tl.constexpr, PLAN: tl.constexpr):
    places, inside = _tile(head, strides, begin, seq_len, COUNT, PLAN)
    tl.store(places, values.to(head.dtype.element_ty), mask=inside)


@triton.jit
@no_type_check
def zero_rows(COUNT: tl.constexpr, PLAN: tl.constexpr):
    """Sums to begin with, [COUNT, block_d]."""
    WIDTH: tl.constexpr = PLAN.block_d  # triton 3.6 takes no attribute inside a tuple
    return tl.zeros((COUNT, WIDTH), dtype=tl.float32)


@triton.jit
@no_type_check
def load_gain(row_scale, factor, batch, begin, seq_len, COUNT: tl.constexpr, PLAN: tl.constexpr):
    """factor times the row scale, in float32: [COUNT] where it differs from row to row, else a number."""
    gain = factor
    if row_scale is not None:
        place = row_scale.start + batch.to(tl.int64) * row_scale.strides[0]
        if PLAN.per_row:
            rows = begin + tl.arange(0, COUNT)
            scale = tl.load(place + rows.to(tl.int64) * row_scale.strides[2], mask=rows < seq_len, other=0.0)
        else:
            scale = tl.load(place)
        gain = gain * scale.to(tl.float32)
    return gain


@triton.jit
@no_type_check
def activate(x, gain, PLAN: tl.constexpr):
    """gain sum_p c_p x^p, and its slope gain sum_p c_p (p / p_1) x^(p - 1), which is over the first power p_1.

    So x^3 costs two products, and its slope none of its own.
    """
    power = gain
    for _ in tl.static_range(PLAN.powers[0] - 1):
        power = power * x
    total = power
    slope = power
    for term in tl.static_range(1, len(PLAN.powers)):
        for _ in tl.static_range(PLAN.powers[term] - PLAN.powers[term - 1]):
            power = power * x
        total += power * PLAN.coefficients[term]
        slope += power * PLAN.slopes[term]
    return total * x, slope


@triton.jit
@no_type_check
def visible(first_query, first_key, TRANSPOSED: tl.constexpr, PLAN: tl.constexpr):
    """Which keys of a block the queries of another may see when causal: [queries, keys], or transposed."""
    queries = first_query + tl.arange(0, PLAN.queries)
    keys = first_key + tl.arange(0, PLAN.keys)
    return queries[None, :] >= keys[:, None] if TRANSPOSED else queries[:, None] >= keys[None, :]
