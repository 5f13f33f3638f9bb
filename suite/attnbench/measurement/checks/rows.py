"""Whether the rows by definition, with which the output of long cells is compared, are what the mechanism is defined to give."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from attnbench.attention import PaddingMask
from attnbench.measurement.checks.agreement import ALL_MASKS
from attnbench.measurement.checks.finding import Finding, Worst, failed, form, skipped
from attnbench.measurement.checks.subject import (
    BATCH,
    GROUPS,
    ROUNDING,
    SEQ_LEN,
    Inputs,
    Subject,
    attend,
    cast,
    flat,
    gradients,
    relative_error,
    times,
)

LENGTHS, LONG = (1, 2, 67), 1103  # LONG is of one sequence and one group of heads, without gradients
ROWS = 16  # most that are looked at
GRADIENT_ROUNDING = 1e-8  # of a normalisation: a difference of numbers that may be much larger


def rows(subject: Subject) -> Finding:
    """Rows in any order and repeated, and their gradients, are those of the dense definition or, without one, of forward."""
    if subject.variant.reference_rows is None:
        compared = "only as far as its dense matrix can be afforded" if subject.has_dense() else "with no definition"
        return skipped(f"it declares no reference_rows: the output of a long cell is compared {compared}")
    by_matrix = subject.has_dense()
    worst = Worst(f"relative difference of reference_rows from {'the dense definition' if by_matrix else 'forward'}")
    for causal in subject.forms:
        for length, mask in ((SEQ_LEN, None), (SEQ_LEN, subject.masks(*ALL_MASKS)), *((length, None) for length in (*LENGTHS, LONG))):
            fault = _compare(worst, subject, length, causal, mask, by_matrix)
            if fault is not None:
                return failed(f"reference_rows {fault} ({_case(causal, length, mask)})")
    return worst.finding()


def _compare(worst: Worst, subject: Subject, length: int, causal: bool, mask: PaddingMask | None, by_matrix: bool) -> str | None:
    """Add the errors of one case to `worst`, or say in words why there is nothing to compare."""
    dtype = torch.float64 if by_matrix else subject.finest()
    with_gradients = length != LONG and subject.gradient_trouble(causal) is None
    batch, groups = (1, 1) if length == LONG else (BATCH if mask is None else len(mask), GROUPS)
    module, chosen = subject.build(length, groups=groups, dtype=dtype), _chosen(length, subject.device)
    inputs = cast(subject.draw(batch, length, groups=groups), dtype, with_gradients)
    found = _found(subject, module, inputs, chosen, causal, mask)
    if by_matrix:
        matrix = subject.dense(module, inputs, causal, mask, by_definition=length != LONG)
        wanted = times(matrix, inputs["v"], mask)[:, :, chosen]
    else:
        wanted = attend(module, inputs, causal, mask)[:, :, chosen]
    if (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
        return f"gives {list(found.shape)} in {found.dtype}; {list(wanted.shape)} in {wanted.dtype} is asked for"
    worst.see(_difference(found.detach(), wanted.detach()), ROUNDING[dtype], _case(causal, length, mask))
    if with_gradients and not found.requires_grad:
        return "cannot be differentiated"
    if with_gradients:
        of_rows, of_definition = (flat(gradients(out, module, inputs)) for out in (found, wanted))
        allowed = max(GRADIENT_ROUNDING, ROUNDING[dtype])
        worst.see(relative_error(of_rows, of_definition), allowed, f"gradients, {_case(causal, length, mask)}")
    return None


def _case(causal: bool, length: int, mask: PaddingMask | None) -> str:
    return form(causal, f"seq_len {length}", *([] if mask is None else ["padded"]))


def _chosen(length: int, device: str) -> Tensor:
    """Positions in no order, the last among them, and some of them twice; of a short sequence all."""
    generator = torch.Generator().manual_seed(3)
    chosen = torch.randperm(length, generator=generator)[:ROWS]
    return torch.cat([chosen, torch.tensor([length - 1]), chosen[:2]]).to(device)


def _found(subject: Subject, module: nn.Module, inputs: Inputs, chosen: Tensor, causal: bool, mask: PaddingMask | None) -> Tensor:
    """What reference_rows gives, for inputs that are not a number where they are padding."""
    reference_rows = subject.executed(inputs["q"].dtype).reference_rows
    assert reference_rows is not None
    given = {key: x.clone() for key, x in inputs.items()}
    if mask is not None:
        given = {key: x.masked_fill(mask[:, None, :, None] if x.dim() == 4 else mask[..., None], math.nan) for key, x in given.items()}
    q, k, v = (given.pop(key) for key in "qkv")
    out: Tensor = reference_rows(module, q, k, v, chosen.clone(), causal, mask, **given)
    return out


def _difference(found: Tensor, wanted: Tensor) -> float:
    """||found - wanted|| / ||wanted||, however small the output is; of an output that is zero, by itself."""
    norm = float(wanted.norm())
    return float((found - wanted).norm()) / (norm if norm > 0.0 else 1.0)
