"""Whether a mechanism computes what it claims, at the shape that was timed: its error against the float64 reference."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from attnbench.attention import Heads, PaddingMask, Variant
from attnbench.errors import AttnbenchError

COMPARED_SEQ_LEN = 256  # the reference is dense and, for an exponential, cubic in seq_len
TOLERANCE = {"float64": 1e-9, "float32": 1e-3, "bfloat16": 5e-2, "float16": 1e-2}


class Incorrect(AttnbenchError):
    """The mechanism's output is not what it should be: its times mean nothing."""


def check_error(variant: Variant, module: nn.Module, q: Heads, k: Heads, v: Heads, causal: bool, gradients: bool) -> float | None:
    """Largest relative error (Frobenius norm) of output and, if asked for, gradients of q, k and v; None without a reference.

    None too for a mechanism that is given more than q, k and v, for which no matrix of these two is the whole definition.

    Up to 256 positions are compared. A longer input is run twice: cut to its first 256 positions, and at its own length with the
    rest as padding, which must come to the same.

    Raises Incorrect when the error is above the dtype's tolerance.
    """
    if variant.needs_hidden:
        return None
    length = q.shape[-2]
    short = [x[:1, :, :COMPARED_SEQ_LEN].detach().clone() for x in (q, k, v)]
    expected = _expected(variant, module, short, causal, gradients)
    if expected is None:
        return None
    found = _outcome(module, short, causal, None, gradients)
    error = _largest(found, expected)
    if length > COMPARED_SEQ_LEN:
        mask = (torch.arange(length, device=q.device) >= COMPARED_SEQ_LEN)[None]
        whole = _outcome(module, [x[:1].detach().clone() for x in (q, k, v)], causal, mask, gradients)
        error = max(error, _largest([x[:, :, :COMPARED_SEQ_LEN] for x in whole], expected))
    allowed = TOLERANCE[str(q.dtype).removeprefix("torch.")]
    if not error <= allowed:
        raise Incorrect(f"the error against the float64 reference is {error:.1e}; {allowed:.0e} is allowed in {q.dtype}")
    return error


def _expected(variant: Variant, module: nn.Module, short: list[Tensor], causal: bool, gradients: bool) -> list[Tensor] | None:
    exact: Any = copy.deepcopy(module).double()
    q, k, v = (x.double().requires_grad_(gradients) for x in short)
    if variant.reference is not None:
        out = variant.reference(exact, q, k, causal, None) @ v
    elif hasattr(exact, "matrix"):
        out = exact.matrix(q, k, causal=causal) @ v
    else:
        return None
    return _with_gradients(out, [q, k, v], gradients)


def _outcome(module: nn.Module, inputs: list[Tensor], causal: bool, mask: PaddingMask | None, gradients: bool) -> list[Tensor]:
    with torch.set_grad_enabled(gradients):
        q, k, v = (x.requires_grad_(gradients) for x in inputs)
        return _with_gradients(module(q, k, v, causal=causal, padding_mask=mask), [q, k, v], gradients)


def _with_gradients(out: Tensor, inputs: list[Tensor], gradients: bool) -> list[Tensor]:
    if not gradients:
        return [out.detach()]
    # Any fixed upstream gradient will do, as long as all runs share it; padded rows of it meet rows that are zero.
    upstream = torch.linspace(-1, 1, COMPARED_SEQ_LEN, dtype=torch.float64, device=out.device).cos()
    upstream = upstream.repeat(-(-out.shape[-2] // COMPARED_SEQ_LEN))[: out.shape[-2], None].to(out.dtype)
    return [out.detach(), *torch.autograd.grad((out * upstream).sum(), inputs, allow_unused=True, materialize_grads=True)]


def _largest(found: list[Tensor], expected: list[Tensor]) -> float:
    def relative(one: Tensor, other: Tensor) -> float:
        return float((one.double() - other).norm() / other.norm().clamp_min(1e-12))

    return max(relative(one, other) for one, other in zip(found, expected, strict=True))
