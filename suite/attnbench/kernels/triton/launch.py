"""Starts the Triton kernels of polynomial attention on tensors, and says what they are compiled for."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import triton
from torch import Tensor

from attnbench.attention import BadInput
from attnbench.kernels.count import count_flops, visible_pairs
from attnbench.kernels.triton.blocks import Blocks, candidates, fastest
from attnbench.kernels.triton.polynomial_backward import keys_kernel, queries_kernel
from attnbench.kernels.triton.polynomial_forward import forward_kernel
from attnbench.kernels.triton.tiles import Plan, Rows

# On tensor cores, each float32 as a sum of three bfloat16: as exact as float32 arithmetic. Triton's interpreter knows "ieee" alone.
FLOAT32_PRECISION = {"cuda": "bf16x6", "cpu": "ieee"}
MOST_UNSCALED_POWER = 6
PRODUCTS = {"forward": 2, "keys": 4, "queries": 3}  # of seq_len x seq_len by head_dim; both kernels of backward compute scores and dO V^T


def forward(
    q: Tensor, k: Tensor, v: Tensor, row_scale: Tensor | None, factor: float, powers: tuple[int, ...], causal: bool, out: Tensor,
    blocks: Blocks | None = None,
) -> None:  # fmt: skip
    """out = factor r phi(Q K^T / sqrt(d)) V. Powers ascend; row_scale is float32. blocks: instead of the fastest."""
    _launch("forward", (q, k, v, row_scale, out), q, row_scale, factor, powers, causal, blocks)


def backward(
    q: Tensor, k: Tensor, v: Tensor, row_scale: Tensor | None, factor: float, powers: tuple[int, ...], causal: bool,
    d_out: Tensor, d_q: Tensor, d_k: Tensor, d_v: Tensor, blocks: Blocks | None = None,
) -> None:  # fmt: skip
    """Writes the gradients of q, k and v, given that of the output."""
    _launch("keys", (q, k, v, row_scale, d_out, d_k, d_v), q, row_scale, factor, powers, causal, blocks)
    _launch("queries", (q, k, v, row_scale, d_out, d_q), q, row_scale, factor, powers, causal, blocks)


@lru_cache
def plan_of(
    powers: tuple[int, ...], head_dim: int, causal: bool, per_row: bool, dtype: torch.dtype, precision: str, blocks: Blocks
) -> Plan:
    """The constants that a kernel is compiled for.

    1/sqrt(d) goes into the coefficients, as d^(-p/2), which saves a product for every score; but not in float16, nor where a power is so
    high that q.k to this power could leave the range of float32.
    """
    scale_first = dtype == torch.float16
    unit = head_dim**-0.5 if scale_first or powers[-1] > MOST_UNSCALED_POWER else 1.0
    base = head_dim**-0.5 / unit
    return Plan(
        powers=powers,
        coefficients=tuple(base ** (power - powers[0]) for power in powers),
        unit=unit,
        head_dim=head_dim,
        block_d=max(16, triton.next_power_of_2(head_dim)),
        causal=causal,
        per_row=per_row,
        scale_first=scale_first,
        precision=precision,
        queries=blocks.queries,
        keys=blocks.keys,
    )


def _launch(
    kernel: str, tensors: tuple[Tensor | None, ...], q: Tensor, row_scale: Tensor | None, factor: float, powers: tuple[int, ...],
    causal: bool, blocks: Blocks | None,
) -> None:  # fmt: skip
    batch, heads, seq_len, head_dim = q.shape
    if q.numel() == 0:
        return
    if not (q.is_cuda or triton.knobs.runtime.interpret):
        raise BadInput(f"the Triton kernels need tensors on CUDA, and q is on {q.device}; move it there, or use the tiled form")
    function: Any = {"forward": forward_kernel, "keys": keys_kernel, "queries": queries_kernel}[kernel]
    rows = [None if tensor is None else Rows(tensor, tensor.stride()) for tensor in tensors]
    precision = FLOAT32_PRECISION[q.device.type] if q.dtype == torch.float32 else "ieee"
    per_row = row_scale is not None and row_scale.shape[2] > 1

    def start(blocks: Blocks) -> None:
        plan = plan_of(powers, head_dim, causal, per_row, q.dtype, precision, blocks)
        programs = triton.cdiv(seq_len, blocks.keys if kernel == "keys" else blocks.queries) * batch * heads
        leading = factor * (head_dim**-0.5 / plan.unit) ** powers[0]
        options = {"num_warps": blocks.num_warps, "num_stages": blocks.num_stages, "enable_fp_fusion": True}
        function[(programs,)](*rows, leading, heads, seq_len, PLAN=plan, **options)

    with torch.cuda.device_of(q):
        if blocks is None:
            shape = (triton.next_power_of_2(seq_len), triton.next_power_of_2(batch * heads))
            key = (kernel, q.device, q.dtype, head_dim, powers, causal, per_row, *shape)
            choice = candidates(kernel, q.element_size(), head_dim)
            blocks = fastest(key, choice if q.is_cuda else choice[-1:], start)
        start(blocks)
    # Once, however often `fastest` tried; the pairs that are seen, not the blocks on the diagonal that are computed whole.
    count_flops(2 * PRODUCTS[kernel] * batch * heads * visible_pairs(seq_len, seq_len, causal) * head_dim)
