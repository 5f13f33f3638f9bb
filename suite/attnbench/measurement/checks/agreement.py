"""Whether the output is what the mechanism's own matrix and its float64 reference say, at every length."""

from __future__ import annotations

import torch

from attnbench.attention import Unsupported
from attnbench.measurement.checks.finding import Finding, Worst, failed, form, passed, skipped
from attnbench.measurement.checks.subject import (
    BATCH,
    GROUPS,
    HEAD_DIM,
    ROUNDING,
    SEQ_LEN,
    Subject,
    attend,
    own_matrix,
    relative_error,
    times,
)

LENGTHS = (1, 2, 3, 63, 65, 100)  # below, at and beyond the blocks that a kernel may cut a sequence into
LONGER = 300
ALL_MASKS = ("right", "left", "holes", "all", "none")
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def build(subject: Subject) -> Finding:
    """build gives a module, for a number of heads, a head_dim and all the context there is."""
    parameters = sum(x.numel() for x in subject.build().parameters())
    return passed(f"build gives a module of {parameters} parameters for {GROUPS * subject.variant.head_group} heads of {HEAD_DIM}")


def shape(subject: Subject) -> Finding:
    """out has the shape, dtype and device of v, in every dtype, causal or not, padded or not."""
    for dtype in DTYPES:
        module = subject.build(dtype=dtype)
        inputs = {key: x.to(dtype) for key, x in subject.draw().items()}
        for causal in subject.forms:
            for mask in (None, subject.masks("right", "holes")):
                try:
                    out = attend(module, inputs, causal, mask)
                except Unsupported:
                    if dtype == torch.float32:
                        raise
                    continue  # a mechanism may lack a form in half precision or in float64, but not that in float32
                wanted = inputs["v"]
                if (out.shape, out.dtype, out.device) != (wanted.shape, dtype, wanted.device):
                    said = f"{list(out.shape)} {out.dtype} on {out.device}, and v {list(wanted.shape)} {dtype} on {wanted.device}"
                    return failed(f"out is {said} ({form(causal, 'padded' if mask is not None else 'unpadded')})")
    return passed("out has the shape, dtype and device of v in float64, float32, bfloat16 and float16")


def matrix(subject: Subject) -> Finding:
    """forward is matrix() times v, padded or not."""
    if not subject.has_matrix():
        return skipped("it has no matrix(q, k)")
    dtype = subject.finest()
    worst = Worst(f"relative difference of forward and matrix() @ v in {_named(dtype)}")
    for causal in subject.forms:
        for length, mask in ((SEQ_LEN, None), (SEQ_LEN, subject.masks(*ALL_MASKS)), (LONGER, None)):
            module = subject.build(length, dtype=dtype)
            batch = 1 if length == LONGER else BATCH if mask is None else len(mask)
            inputs = {key: x.to(dtype) for key, x in subject.draw(batch, length).items()}
            own = own_matrix(module, inputs, causal, mask)
            wanted = (*inputs["q"].shape[:2], length, length)
            if own.shape != wanted:
                return failed(f"matrix() has shape {list(own.shape)}; {list(wanted)} is asked for")
            difference = relative_error(attend(module, inputs, causal, mask), times(own, inputs["v"], mask))
            worst.see(difference, ROUNDING[dtype], _case(causal, length, mask))
    return worst.finding()


def reference(subject: Subject) -> Finding:
    """Forward and, where there is one, matrix() are what the declared float64 reference says."""
    if subject.variant.reference is None:
        return skipped("it declares no reference; its matrix(), where it has one, is the definition")
    dtype = subject.finest()
    worst = Worst(f"relative difference from the {_named(dtype)} reference")
    for causal in subject.forms:
        for mask in (None, subject.masks(*ALL_MASKS)):
            module = subject.build(dtype=dtype)
            inputs = {key: x.to(dtype) for key, x in subject.draw(BATCH if mask is None else len(mask)).items()}
            wanted, v = subject.dense(module, inputs, causal, mask), inputs["v"]
            case = _case(causal, SEQ_LEN, mask)
            worst.see(relative_error(attend(module, inputs, causal, mask), times(wanted, v, mask)), ROUNDING[dtype], case)
            if hasattr(module, "matrix"):  # its padded rows and columns are free: forward does not show them
                identity = torch.eye(SEQ_LEN, dtype=v.dtype, device=v.device).expand_as(wanted)
                own = times(own_matrix(module, inputs, causal, mask), identity, mask)
                worst.see(relative_error(own, times(wanted, identity, mask)), ROUNDING[dtype], f"matrix(), {case}")
    return worst.finding()


def lengths(subject: Subject) -> Finding:
    """A sequence of one token, of two, of odd and of even length gives what the definition says."""
    dtype = subject.finest()
    worst = Worst(f"relative difference from the definition in {_named(dtype)}")
    for causal in subject.forms:
        for length in LENGTHS:
            module = subject.build(length, dtype=dtype)
            inputs = {key: x.to(dtype) for key, x in subject.draw(seq_len=length).items()}
            out = attend(module, inputs, causal)
            case = form(causal, f"seq_len {length}")
            if subject.is_defined():
                worst.see(relative_error(out, subject.defined(module, inputs, causal)), ROUNDING[dtype], case)
            elif out.shape != inputs["v"].shape or not out.isfinite().all():
                return failed(f"out is not finite, or has another shape than v ({case})")
    if not subject.is_defined():
        return passed(f"finite and of the right shape at seq_len {', '.join(map(str, LENGTHS))}; there is no definition to compare with")
    return worst.finding()


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _case(causal: bool, length: int, mask: torch.Tensor | None) -> str:
    return form(causal, f"seq_len {length}", *(["padded"] if mask is not None else []))
