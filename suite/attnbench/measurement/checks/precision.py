"""Whether float32, bfloat16 and float16 lose no more than the plain form does in the same dtype.

The plain form is the dense matrix by definition times v, both in that dtype; in half precision the matrix is computed in float32 from the
half inputs and rounded. Without such a matrix it is all rows of reference_rows. The exact value is the plain form's in float64; a mechanism
without a definition is compared with itself.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from attnbench.attention import PaddingMask, Unsupported
from attnbench.measurement.anew import state_of
from attnbench.measurement.checks.finding import Finding, Worst, form, skipped
from attnbench.measurement.checks.subject import Inputs, Subject, attend, cast, flat, gradients, relative_error, times
from attnbench.measurement.verify.closeness import MOST

TIMES_PLAIN = 2.0
UNITS = 4.0  # rounding units allowed on top, for the plain form may happen to be exact
UNITS_WITHOUT_PLAIN = 256.0
HEAD_DIM = 16
LENGTHS, GRADIENT_LENGTH, LONG = (63, 300), 63, 1100

Forward = Callable[[nn.Module, Inputs, bool, PaddingMask | None], Tensor]


def float32(subject: Subject) -> Finding:
    """Output and gradients in float32."""
    return _precision(subject, torch.float32)


def bfloat16(subject: Subject) -> Finding:
    """Output and gradients in bfloat16."""
    return _precision(subject, torch.bfloat16)


def float16(subject: Subject) -> Finding:
    """Output and gradients in float16."""
    return _precision(subject, torch.float16)


def long(subject: Subject) -> Finding:
    """Output and gradients in float32 at 1,100 tokens, whole and padded, where kernels cut the sequence into tiles."""
    worst = Worst("relative error in float32")
    holes = (torch.arange(LONG, device=subject.device) % 7 == 3)[None]
    for causal in subject.forms:
        for mask in (None, holes):
            _compare(worst, subject, torch.float32, LONG, causal, mask, with_gradients=True)
    return _told(worst, subject)


def _precision(subject: Subject, dtype: torch.dtype) -> Finding:
    worst = Worst(f"relative error in {str(dtype).removeprefix('torch.')}")
    try:
        for causal in subject.forms:
            for length in LENGTHS:
                _compare(worst, subject, dtype, length, causal, None, with_gradients=length == GRADIENT_LENGTH)
    except Unsupported as error:
        if dtype == torch.float32:
            raise
        return skipped(str(error))
    return _told(worst, subject)


def _told(worst: Worst, subject: Subject) -> Finding:
    """The finding of the worst case; it says where dtypes share what they should not."""
    found, shared = worst.finding(), subject.shared()
    return found if shared is None else dataclasses.replace(found, detail=f"{found.detail}; {shared}")


def _compare(
    worst: Worst, subject: Subject, dtype: torch.dtype, length: int, causal: bool, mask: PaddingMask | None, with_gradients: bool
) -> None:
    """Add the error of the output and, if asked for, of all gradients together to `worst`."""
    module = subject.build(length, HEAD_DIM, groups=1, dtype=dtype)
    state = state_of(module)
    with_gradients = with_gradients and subject.gradient_trouble(causal) is None
    drawn = {key: x.to(dtype) for key, x in subject.draw(1, length, HEAD_DIM, groups=1).items()}

    def anew(kind: torch.dtype) -> nn.Module:
        return subject.build(length, HEAD_DIM, 1, kind, state)

    def results(one: nn.Module, kind: torch.dtype, forward: Forward) -> list[Tensor]:
        inputs = cast(drawn, kind, with_gradients)
        with torch.set_grad_enabled(with_gradients):
            out = forward(one, inputs, causal, mask)
            return [out, flat(gradients(out, one, inputs))] if with_gradients else [out]

    def plain(one: nn.Module, inputs: Inputs, causal: bool, mask: PaddingMask | None) -> Tensor:
        kind = inputs["v"].dtype
        wide = {key: x.to(_at_least_float32(kind)) for key, x in inputs.items()}
        if not subject.has_dense():
            return subject.all_rows(one, wide, causal, mask).to(kind)
        return times(subject.dense(one, wide, causal, mask, by_definition=length < LONG).to(kind), inputs["v"], mask)

    unit = torch.finfo(dtype).eps
    found = results(module, dtype, attend)
    if subject.is_defined():
        wanted = results(anew(torch.float64), torch.float64, plain)
        simple = results(anew(_at_least_float32(dtype)), dtype, plain)
        allowed = [TIMES_PLAIN * relative_error(x, y) + UNITS * unit for x, y in zip(simple, wanted, strict=True)]
    else:
        wanted = results(anew(torch.float64), torch.float64, attend)
        allowed = [UNITS_WITHOUT_PLAIN * unit] * len(found)
    most = MOST[str(dtype).removeprefix("torch.")]  # the plain form may share a fault of the module's matrix()
    for i, what in enumerate(("out", "gradients")[: len(found)]):
        case = form(causal, what, f"seq_len {length:,}", *(["padded"] if mask is not None else []))
        worst.see(relative_error(found[i], wanted[i]), min(most, allowed[i]) if math.isfinite(allowed[i]) else math.nan, case)


def _at_least_float32(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
