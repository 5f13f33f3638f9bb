"""Polynomial attention forward in one Triton kernel: out_i = r_i sum_j phi(q_i . k_j / sqrt(d)) v_j, a block of queries a program.

FlashAttention-2's schedule (Dao 2023, arXiv 2307.08691) without the running maximum and denominator, which a polynomial does not need.
"""

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl

from attnbench.kernels.triton.tiles import activate, first_row, load_gain, load_rows, store_rows, visible, zero_rows


@triton.jit
@no_type_check
def forward_kernel(q, k, v, row_scale, out, factor, heads, seq_len, PLAN: tl.constexpr):
    blocks = tl.cdiv(seq_len, PLAN.queries)
    head = tl.program_id(0) // blocks
    block = tl.program_id(0) % blocks
    if PLAN.causal:
        block = blocks - 1 - block  # the longest first, so that none is left alone at the end
    first_query = block * PLAN.queries
    q_rows = load_rows(first_row(q, head, heads), q.strides, first_query, seq_len, PLAN.queries, PLAN)
    gain = load_gain(row_scale, factor, head // heads, first_query, seq_len, PLAN.queries, PLAN)
    if PLAN.per_row:
        gain = gain[:, None]
    inner = 1.0
    if PLAN.scale_first:
        inner = gain
    sums = zero_rows(PLAN.queries, PLAN)
    # Keys that every query of the block may see, then those of the diagonal.
    diagonal = seq_len
    if PLAN.causal:
        diagonal = first_query // PLAN.keys * PLAN.keys
    sums = _attend(sums, q_rows, inner, k, v, head, heads, first_query, 0, diagonal, seq_len, False, PLAN)
    if PLAN.causal:
        end = tl.minimum(first_query + PLAN.queries, seq_len)
        sums = _attend(sums, q_rows, inner, k, v, head, heads, first_query, diagonal, end, seq_len, True, PLAN)
    if not PLAN.scale_first:
        sums = sums * gain
    store_rows(first_row(out, head, heads), out.strides, first_query, seq_len, sums, PLAN.queries, PLAN)


@triton.jit
@no_type_check
def _attend(sums, q_rows, gain, k, v, head, heads, first_query, begin, end, seq_len, MASKED: tl.constexpr, PLAN: tl.constexpr):
    """sums + gain phi(Q K^T) V over the keys from begin to end."""
    k_head = first_row(k, head, heads)
    v_head = first_row(v, head, heads)
    for first_key in range(begin, end, PLAN.keys):
        k_rows = load_rows(k_head, k.strides, first_key, seq_len, PLAN.keys, PLAN)
        v_rows = load_rows(v_head, v.strides, first_key, seq_len, PLAN.keys, PLAN)
        scores = tl.dot(q_rows, tl.trans(k_rows), input_precision=PLAN.precision) * PLAN.unit
        weights, _ = activate(scores, gain, PLAN)
        if MASKED:
            weights = tl.where(visible(first_query, first_key, False, PLAN), weights, 0.0)
        sums = tl.dot(weights.to(v_rows.dtype), v_rows, sums, input_precision=PLAN.precision)
    return sums
