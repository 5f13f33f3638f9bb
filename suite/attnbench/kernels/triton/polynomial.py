"""Polynomial attention as one fused operation on CUDA, forward and backward, without an N x N matrix.

out_i = r_i sum_j phi(q_i . k_j / sqrt(d)) v_j, phi(x) a sum of powers, the sum over j <= i when causal. r is a scale for each row.
Its memory is linear in seq_len and its backward deterministic. The kernels are Triton's, imported when they are first called.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from attnbench.attention import BadInput, Heads

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
MOST_HEAD_DIM = 256


def runs_on(q: Tensor) -> bool:
    """Whether the kernels take such a tensor: on an NVIDIA GPU of compute capability 8.0 or more, where triton is installed."""
    return q.is_cuda and q.dtype in DTYPES and q.shape[-1] <= MOST_HEAD_DIM and _has_kernels(q.device)


@cache
def _has_kernels(device: torch.device) -> bool:
    return find_spec("triton") is not None and torch.version.cuda is not None and torch.cuda.get_device_capability(device) >= (8, 0)


def polynomial_attention(q: Heads, k: Heads, v: Heads, powers: tuple[int, ...], row_scale: Tensor | float, causal: bool) -> Heads:
    """r phi(Q K^T / sqrt(d)) V with phi(x) = sum of x^p over the powers, each at least 1.

    row_scale: a number, or a tensor [batch or 1, 1, seq_len or 1, 1]; no gradient flows to it. Padded rows of q, k and v must be zero.
    Raises BadInput for another dtype than float32, float16 and bfloat16, a head_dim above 256, or shapes that do not fit.
    """
    alike = q.dtype == k.dtype == v.dtype and q.shape == k.shape == v.shape
    if q.dtype not in DTYPES or not alike or q.shape[-1] > MOST_HEAD_DIM:
        came = ", ".join(f"{x.dtype} {list(x.shape)}" for x in (q, k, v))
        raise BadInput(
            f"q, k and v are {came}; the Triton kernels take float32, float16 or bfloat16, one dtype and one shape for all, "
            f"and a head_dim of at most {MOST_HEAD_DIM}: convert, or use the tiled form"
        )
    if not isinstance(row_scale, Tensor):
        return _attend(q, k, v, None, float(row_scale), sorted(powers), causal)
    batch, _, seq_len, _ = q.shape
    if row_scale.ndim != 4 or any(n not in (1, full) for n, full in zip(row_scale.shape, (batch, 1, seq_len, 1), strict=True)):
        raise BadInput(f"row_scale has shape {list(row_scale.shape)}; give [{batch} or 1, 1, {seq_len} or 1, 1], or a number")
    return _attend(q, k, v, row_scale.detach().float(), 1.0, sorted(powers), causal)


_ARGUMENTS = "Tensor q, Tensor k, Tensor v, Tensor? row_scale, float factor, int[] powers, bool causal"


@torch.library.custom_op("attnbench::polynomial_attention", mutates_args=(), schema=f"({_ARGUMENTS}) -> Tensor")
def _attend(q: Tensor, k: Tensor, v: Tensor, row_scale: Tensor | None, factor: float, powers: list[int], causal: bool) -> Tensor:
    from attnbench.kernels.triton import launch

    out = torch.empty_like(q)
    launch.forward(q, k, v, _over(q, row_scale), factor, tuple(powers), causal, out)
    return out


@torch.library.custom_op(
    "attnbench::polynomial_attention_backward", mutates_args=(), schema=f"(Tensor d_out, {_ARGUMENTS}) -> (Tensor, Tensor, Tensor)"
)
def _attend_backward(
    d_out: Tensor, q: Tensor, k: Tensor, v: Tensor, row_scale: Tensor | None, factor: float, powers: list[int], causal: bool
) -> tuple[Tensor, Tensor, Tensor]:
    from attnbench.kernels.triton import launch

    d_q, d_k, d_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
    launch.backward(q, k, v, _over(q, row_scale), factor, tuple(powers), causal, d_out, d_q, d_k, d_v)
    return d_q, d_k, d_v


def _over(q: Tensor, row_scale: Tensor | None) -> Tensor | None:
    """The scale with a stride of zero along the axes where it is the same."""
    return None if row_scale is None else row_scale.expand(q.shape[0], 1, -1, 1)


@_attend.register_fake
def _(q: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(q)


@_attend_backward.register_fake
def _(d_out: Tensor, q: Tensor, k: Tensor, v: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    q, k, v, row_scale, *ctx.rest = inputs
    ctx.save_for_backward(q, k, v, row_scale)


def _gradients(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
    return (*_attend_backward(d_out, *ctx.saved_tensors, *ctx.rest), None, None, None, None)


_attend.register_autograd(_gradients, setup_context=_save)
