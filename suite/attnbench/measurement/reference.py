"""Compares the results of timed calls with the float64 reference, and with the same calls repeated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from attnbench.attention import Heads, PaddingMask, Variant, prefilled
from attnbench.errors import Incorrect
from attnbench.measurement.anew import Original

# Positions up to which a dense float64 reference is affordable; that of an orthogonal mechanism, an exponential, is cubic in seq_len.
COMPARED_SEQ_LEN, COMPARED_ORTHOGONAL = 1024, 256
TOLERANCE = MappingProxyType({"float64": 1e-9, "float32": 1e-3, "bfloat16": 5e-2, "float16": 1e-2})
_CANCELLED = 1e-3  # a result this much smaller than the largest is compared on the scale of the largest
_ZERO = 1e-12  # where no expected number is larger, all are rounding of zero, and found numbers are compared on the scale of the inputs


def check_finite(results: Sequence[Tensor]) -> None:
    """Raise Incorrect when a result holds values that are not finite."""
    if not all(x.isfinite().all() for x in results):
        raise Incorrect("the output holds values that are not finite, for unit-variance inputs")


def check_repeated(timed: Sequence[Tensor], repeated: Sequence[Tensor], tolerance: float) -> None:
    """Compare the results of a timed call with the same results computed again. Results that are not finite in both pass.

    Raises Incorrect when they differ by more than the tolerance.
    """
    if not all(x.isfinite().all() for x in timed) and not all(x.isfinite().all() for x in repeated):
        return
    error = _largest(timed, repeated)
    if not error <= tolerance:
        raise Incorrect(
            f"a timed call gave something else than the mechanism does for the same inputs afterwards (relative difference {error:.1e}, "
            f"{tolerance:.0e} is allowed); compute every call from its own inputs, and finish before returning"
        )


def check_error(original: Original, inputs: Sequence[Heads], causal: bool, upstream: Heads | None, timed: Sequence[Tensor]) -> float | None:
    """Largest relative error (Frobenius norm) of what a timed call gave for its inputs q, k and v: the output and, with the upstream
    gradient of a training step, their gradients. None without a reference.

    None too for a mechanism that is also given `hidden`, which a matrix of q and k does not define.

    Up to 1,024 positions (256 of an orthogonal mechanism) the timed results are compared with the float64 reference. A longer input
    is run twice more, cut to that length, and at its own length with the rest as padding, which must both agree with the reference.

    Raises Incorrect when the error is above the dtype's tolerance.
    """
    variant, exact = original.definition()
    if not _has_definition(variant, exact):
        return None
    module = original.module
    first = [x[:1].detach() for x in inputs]
    weights = None if upstream is None else upstream[:1]
    length, dtype = first[0].shape[-2], first[0].dtype
    compared = _compared(variant)
    short = [x[:, :, :compared] for x in first]
    expected = _expected(variant, exact, short, causal, None if weights is None else weights[:, :, :compared])
    if length <= compared:
        return _allowed(_largest([x[:1] for x in timed], expected), dtype)
    found = _outcome(module, short, causal, None, None if weights is None else weights[:, :, :compared])
    mask = (torch.arange(length, device=first[0].device) >= compared)[None]
    whole = _outcome(module, first, causal, mask, weights)
    return _allowed(max(_largest(found, expected), _largest([x[:, :, :compared] for x in whole], expected)), dtype)


def check_step(original: Original, inputs: Sequence[Heads], timed: Tensor) -> float | None:
    """Relative error of a decoding step, the last token of q, k and v, against the last row of the float64 reference; None without one.

    More than 1,024 positions are cut to the last 1,024, and stepped again.

    Raises Incorrect when the error is above the dtype's tolerance.
    """
    variant, exact = original.definition()
    if not _has_definition(variant, exact):
        return None
    compared = _compared(variant)
    short = [x[:1, :, -compared:].detach() for x in inputs]
    (expected,) = _expected(variant, exact, short, causal=True, upstream=None)
    out = timed[:1]
    if inputs[0].shape[-2] > compared:
        with torch.no_grad():
            state = prefilled(original.module, *(x[:, :, :-1] for x in short))
            out, _ = original.module.step(*(x[:, :, -1:] for x in short), state)  # type: ignore[operator]
    return _allowed(_largest([out], [expected[:, :, -1:]]), out.dtype)


def _compared(variant: Variant) -> int:
    return COMPARED_ORTHOGONAL if variant.orthogonal else COMPARED_SEQ_LEN


def _has_definition(variant: Variant, exact: nn.Module) -> bool:
    return not variant.needs_hidden and (variant.reference is not None or hasattr(exact, "matrix"))


def _expected(variant: Variant, exact: Any, short: list[Tensor], causal: bool, upstream: Tensor | None) -> list[Tensor]:
    """Output and gradients by definition, in float64."""
    q, k, v = (x.detach().double().requires_grad_(upstream is not None) for x in short)
    matrix = exact.matrix(q, k, causal=causal) if variant.reference is None else variant.reference(exact, q, k, causal, None)
    return _with_gradients(matrix @ v, [q, k, v], upstream)


def _outcome(module: nn.Module, inputs: list[Tensor], causal: bool, mask: PaddingMask | None, upstream: Tensor | None) -> list[Tensor]:
    with torch.set_grad_enabled(upstream is not None):
        q, k, v = (x.clone().requires_grad_(upstream is not None) for x in inputs)
        return _with_gradients(module(q, k, v, causal=causal, padding_mask=mask), [q, k, v], upstream)


def _with_gradients(out: Tensor, inputs: list[Tensor], upstream: Tensor | None) -> list[Tensor]:
    if upstream is None:
        return [out.detach()]
    gradients = torch.autograd.grad(out, inputs, upstream.to(out.dtype), allow_unused=True, materialize_grads=True)
    return [out.detach(), *gradients]


def _largest(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The largest relative difference.

    A result that is far smaller than the largest is compared on that one's scale; where all are zero, on that of the inputs.
    """
    norms = [float(x.double().norm()) for x in expected]
    units = [math.sqrt(x.numel()) for x in expected]  # the norms of as many numbers of unit variance
    all_zero = all(norm <= _ZERO * unit for norm, unit in zip(norms, units, strict=True))
    least = max(units) if all_zero else _CANCELLED * max(norms)
    differences = [float((one.double() - other.double()).norm()) for one, other in zip(found, expected, strict=True)]
    return max(difference / max(norm, least) for difference, norm in zip(differences, norms, strict=True))


def _allowed(error: float, dtype: torch.dtype) -> float:
    allowed = TOLERANCE[str(dtype).removeprefix("torch.")]
    if not error <= allowed:
        raise Incorrect(f"the error against the float64 reference is {error:.1e}; {allowed:.0e} is allowed in {dtype}")
    return error
