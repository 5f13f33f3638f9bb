"""Polynomial attention backward in two Triton kernels, which compute the scores again instead of keeping them.

With P_ij = r_i phi(s_ij), s_ij = q_i . k_j / sqrt(d) and dS_ij = r_i phi'(s_ij) (dO_i . v_j):
dV = P^T dO and dK = dS^T Q / sqrt(d), a block of keys a program; dQ = dS K / sqrt(d), a block of queries a program.

Seven products instead of the five of a single pass: that one adds into dQ from many programs at once, in an order that changes from
run to run. Here every element has one writer, and the same call gives the same bits.
"""

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl

from attnbench.kernels.triton.tiles import activate, first_row, load_gain, load_rows, store_rows, visible, zero_rows


@triton.jit
@no_type_check
def keys_kernel(q, k, v, row_scale, d_out, d_k, d_v, factor, heads, seq_len, PLAN: tl.constexpr):
    """dK and dV of a block of keys, from all queries that may see one of them."""
    blocks = tl.cdiv(seq_len, PLAN.keys)
    head = tl.program_id(0) // blocks
    first_key = tl.program_id(0) % blocks * PLAN.keys
    k_rows = load_rows(first_row(k, head, heads), k.strides, first_key, seq_len, PLAN.keys, PLAN)
    v_rows = load_rows(first_row(v, head, heads), v.strides, first_key, seq_len, PLAN.keys, PLAN)
    k_sums = zero_rows(PLAN.keys, PLAN)
    v_sums = zero_rows(PLAN.keys, PLAN)
    # Queries of the diagonal, then those that see every key of the block.
    below = 0
    if PLAN.causal:
        begin = first_key // PLAN.queries * PLAN.queries
        below = tl.cdiv(first_key + PLAN.keys, PLAN.queries) * PLAN.queries
        end = tl.minimum(below, seq_len)
        k_sums, v_sums = _over_queries(
            k_sums, v_sums, k_rows, v_rows, q, d_out, row_scale, factor, head, heads, first_key, begin, end, seq_len, True, PLAN
        )
    k_sums, v_sums = _over_queries(
        k_sums, v_sums, k_rows, v_rows, q, d_out, row_scale, factor, head, heads, first_key, below, seq_len, seq_len, False, PLAN
    )
    if not (PLAN.scale_first or PLAN.per_row):
        gain = load_gain(row_scale, factor, head // heads, 0, seq_len, 1, PLAN)
        k_sums = k_sums * gain
        v_sums = v_sums * gain
    k_sums = k_sums * PLAN.chain
    store_rows(first_row(d_k, head, heads), d_k.strides, first_key, seq_len, k_sums, PLAN.keys, PLAN)
    store_rows(first_row(d_v, head, heads), d_v.strides, first_key, seq_len, v_sums, PLAN.keys, PLAN)


@triton.jit
@no_type_check
def _over_queries(
    k_sums, v_sums, k_rows, v_rows, q, d_out, row_scale, factor, head, heads, first_key, begin, end, seq_len,
    MASKED: tl.constexpr, PLAN: tl.constexpr,
):  # fmt: skip
    """The sums and what the queries from begin to end add to them; tiles are [keys, queries], transposed."""
    q_head = first_row(q, head, heads)
    d_out_head = first_row(d_out, head, heads)
    for first_query in range(begin, end, PLAN.queries):
        q_rows = load_rows(q_head, q.strides, first_query, seq_len, PLAN.queries, PLAN)
        d_out_rows = load_rows(d_out_head, d_out.strides, first_query, seq_len, PLAN.queries, PLAN)
        gain = 1.0
        if PLAN.per_row:
            gain = load_gain(row_scale, factor, head // heads, first_query, seq_len, PLAN.queries, PLAN)[None, :]
        elif PLAN.scale_first:
            gain = load_gain(row_scale, factor, head // heads, first_query, seq_len, PLAN.queries, PLAN)
        scores = tl.dot(k_rows, tl.trans(q_rows), input_precision=PLAN.precision) * PLAN.unit
        weights, slope = activate(scores, gain, PLAN)
        if MASKED:
            seen = visible(first_query, first_key, True, PLAN)
            weights = tl.where(seen, weights, 0.0)
            slope = tl.where(seen, slope, 0.0)
        v_sums = tl.dot(weights.to(d_out_rows.dtype), d_out_rows, v_sums, input_precision=PLAN.precision)
        d_weights = tl.dot(v_rows, tl.trans(d_out_rows), input_precision=PLAN.precision)
        k_sums = tl.dot((d_weights * slope).to(q_rows.dtype), q_rows, k_sums, input_precision=PLAN.precision)
    return k_sums, v_sums


@triton.jit
@no_type_check
def queries_kernel(q, k, v, row_scale, d_out, d_q, factor, heads, seq_len, PLAN: tl.constexpr):
    """dQ of a block of queries, from all keys that one of them may see."""
    blocks = tl.cdiv(seq_len, PLAN.queries)
    head = tl.program_id(0) // blocks
    block = tl.program_id(0) % blocks
    if PLAN.causal:
        block = blocks - 1 - block  # the longest first
    first_query = block * PLAN.queries
    q_rows = load_rows(first_row(q, head, heads), q.strides, first_query, seq_len, PLAN.queries, PLAN)
    d_out_rows = load_rows(first_row(d_out, head, heads), d_out.strides, first_query, seq_len, PLAN.queries, PLAN)
    gain = load_gain(row_scale, factor, head // heads, first_query, seq_len, PLAN.queries, PLAN)
    if PLAN.per_row:
        gain = gain[:, None]
    inner = 1.0
    if PLAN.scale_first:
        inner = gain
    sums = zero_rows(PLAN.queries, PLAN)
    diagonal = seq_len
    if PLAN.causal:
        diagonal = first_query // PLAN.keys * PLAN.keys
    sums = _over_keys(sums, q_rows, d_out_rows, inner, k, v, head, heads, first_query, 0, diagonal, seq_len, False, PLAN)
    if PLAN.causal:
        end = tl.minimum(first_query + PLAN.queries, seq_len)
        sums = _over_keys(sums, q_rows, d_out_rows, inner, k, v, head, heads, first_query, diagonal, end, seq_len, True, PLAN)
    if not PLAN.scale_first:
        sums = sums * gain
    sums = sums * PLAN.chain
    store_rows(first_row(d_q, head, heads), d_q.strides, first_query, seq_len, sums, PLAN.queries, PLAN)


@triton.jit
@no_type_check
def _over_keys(
    sums, q_rows, d_out_rows, gain, k, v, head, heads, first_query, begin, end, seq_len, MASKED: tl.constexpr, PLAN: tl.constexpr
):
    """The sums and what the keys from begin to end add to them; tiles are [queries, keys]."""
    k_head = first_row(k, head, heads)
    v_head = first_row(v, head, heads)
    for first_key in range(begin, end, PLAN.keys):
        k_rows = load_rows(k_head, k.strides, first_key, seq_len, PLAN.keys, PLAN)
        v_rows = load_rows(v_head, v.strides, first_key, seq_len, PLAN.keys, PLAN)
        scores = tl.dot(q_rows, tl.trans(k_rows), input_precision=PLAN.precision) * PLAN.unit
        d_weights = tl.dot(d_out_rows, tl.trans(v_rows), input_precision=PLAN.precision)
        _, slope = activate(scores, gain, PLAN)
        if MASKED:
            slope = tl.where(visible(first_query, first_key, False, PLAN), slope, 0.0)
        sums = tl.dot((d_weights * slope).to(k_rows.dtype), k_rows, sums, input_precision=PLAN.precision)
    return sums
