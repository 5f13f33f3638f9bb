"""Verifies a kept call of a kernel cell: rows of the timed output, and gradients, against the definition at the timed shape."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attnbench.attention import PaddingMask
from attnbench.errors import Incorrect
from attnbench.measurement.anew import Original
from attnbench.measurement.verify.by_definition import Case, Definition
from attnbench.measurement.verify.closeness import Result, Verified, compare
from attnbench.measurement.verify.definition import DENSE_BYTES, forward_dense_bytes, random_rows, undefined
from attnbench.measurement.verify.repeated import check_finite
from attnbench.measurement.verify.rounding import Rounding

# Numbers of all heads' matrices up to which every row is compared in training: four heads of 4,096 tokens; sixty-four on a GPU.
DENSE_NUMBERS = {"cpu": 2**26, "cuda": 2**30}

_draw = random.SystemRandom()


@dataclass(frozen=True)
class KeptCall:
    """A timed call and what it gave.

    inputs:   q, k, v and, if needed, hidden, of the whole batch.
    results:  the output and, in training, the gradients by the inputs and by the module's parameters.
    upstream: the gradient by the output, in training.
    again:    gives the results of one more call on these inputs, with another upstream gradient.
    """

    inputs: list[Tensor]
    results: list[Tensor]
    causal: bool = False
    padding_mask: PaddingMask | None = None
    upstream: Tensor | None = None
    again: Callable[[Tensor], list[Tensor]] | None = None


@dataclass(frozen=True)
class _Found:
    """One result that is compared: its place among the definition's results, and the rows of it that `value` holds, if not all.

    minuend: see closeness.Result.
    """

    name: str
    place: int
    value: Tensor
    rows: Tensor | None = None
    minuend: Tensor | None = None


def verify_call(original: Original, call: KeptCall) -> Verified:
    """Compare a kept call with the definition, for a random sequence of its batch and all heads.

    The output is compared in 64 random rows; in training, up to 4,096 tokens, in every row, and so are all gradients. Beyond that the
    definition gives gradients for an upstream gradient that is zero but in the 64 rows. They are compared with those of one more call
    that is given just that and, as a mechanism may know it by its zeros, with the timed gradients less those of another call, whose
    upstream gradient is the timed one less that: it looks like any other.

    Raises Incorrect when a result is further off than its tolerance.
    """
    check_finite(call.results)
    definition = Definition(original)
    batch, heads, seq_len, _ = call.inputs[0].shape
    dense_bytes = forward_dense_bytes(call.inputs[0].device) if call.upstream is None else DENSE_BYTES
    why = undefined(definition.variant, definition.exact, heads, seq_len, dense_bytes)
    if why is not None:
        return Verified(facts={"not_compared": why})
    _check_padding(call)
    at = _draw.randrange(batch)
    dense = call.upstream is not None and heads * seq_len**2 <= DENSE_NUMBERS[call.inputs[0].device.type]
    case = _case(call, at, dense)
    exact, plain = definition.exactly(case), definition.plainly(case)
    found = [_Found("the output", 0, call.results[0][at : at + 1][..., case.rows, :], case.rows)]
    if call.upstream is not None:
        found += _gradients(call, case, at, dense, definition.parameters())

    largest = max((float(x.norm()) for x in exact[1:]), default=0.0)

    def of(one: _Found, every: Sequence[Rounding]) -> Rounding:
        return every[one.place].of(lambda x: _at(x, one.rows))

    results = [
        Result(
            one.name,
            found=one.value,
            exact=_at(exact[one.place], one.rows),
            plain=_at(plain[one.place], one.rows),
            in_rows=one.place <= len(case.inputs),
            scale=largest if one.place > 0 else 0.0,
            minuend=one.minuend,
        )
        for one in found
    ]
    rounding = ([of(one, every) for one in found] for every in definition.rounding(case, exact))
    return compare(results, case.dtype, len(case.rows), rounding)


def _case(call: KeptCall, at: int, every_row: bool) -> Case:
    """What is compared of sequence `at`: every row, or 64 random ones of those that are no padding."""
    one = slice(at, at + 1)
    mask = None if call.padding_mask is None else call.padding_mask[one]
    device, seq_len = call.inputs[0].device, call.inputs[0].shape[-2]
    rows = list(range(seq_len)) if mask is None or every_row else (~mask[0]).nonzero()[:, 0].tolist()
    if not every_row:
        rows = random_rows(rows)
    upstream = None if call.upstream is None else call.upstream[one]
    if upstream is not None and not every_row:
        upstream = upstream - torch.randn_like(upstream)  # in the rows other numbers, so that the difference has no zeros
    return Case([x[one].detach() for x in call.inputs], torch.tensor(rows, device=device), call.causal, mask, upstream)


def _gradients(call: KeptCall, case: Case, at: int, dense: bool, parameters: list[str]) -> list[_Found]:
    """The gradients that are compared: the timed ones, and where those hold more than the definition gives, of more calls.

    Those calls are given the case's upstream gradient, which is zero in other sequences, and the timed one less that.
    """
    one, last = slice(at, at + 1), len(case.inputs)
    names = [f"the gradient by {name}" for name in ("q", "k", "v", "hidden")[:last]]
    own = [f"the gradient by the parameter {name}" for name in parameters]
    assert call.upstream is not None and call.again is not None and case.upstream is not None

    def of_sequence(results: list[Tensor]) -> list[Tensor]:
        return [*(x[one] for x in results[1 : 1 + last]), *results[1 + last :]]

    timed = of_sequence(call.results)
    found = [_Found(name, 1 + i, timed[i]) for i, name in enumerate(names)] if dense else []
    if dense and (not own or len(call.inputs[0]) == 1):
        return found + [_Found(name, 1 + last + i, timed[last + i]) for i, name in enumerate(own)]
    upstream = torch.zeros_like(call.upstream)
    upstream[at, :, case.rows] = case.upstream[0, :, case.rows]
    said = f", where the upstream gradient is zero but in {len(case.rows)} rows"
    gradients = of_sequence(call.again(upstream))
    found += [_Found(name + said, 1 + i, x) for i, (name, x) in enumerate(zip([*names, *own], gradients, strict=True))]
    if not dense:
        rest = of_sequence(call.again(call.upstream - upstream))
        differences = zip([*names, *own], timed, rest, strict=True)
        found += [_Found(f"what rows add to {name}", 1 + i, x - y, minuend=x) for i, (name, x, y) in enumerate(differences)]
    return found


def _at(x: Tensor, rows: Tensor | None) -> Tensor:
    """The rows of a result that are compared; all of one that has no others."""
    return x if rows is None or x.shape[-2] == len(rows) else x[..., rows, :]


def _check_padding(call: KeptCall) -> None:
    """Raise Incorrect where a row of the output that is padding is not zero, in any sequence."""
    if call.padding_mask is not None and call.results[0].masked_select(call.padding_mask[:, None, :, None]).any():
        raise Incorrect("rows of the output that are padding are not zero")
