"""Verifies a kept call of a kernel cell: rows of the timed output, and gradients, against the definition at the timed shape."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from attnbench.attention import PaddingMask
from attnbench.errors import Incorrect
from attnbench.measurement.anew import Original
from attnbench.measurement.verify.by_definition import Case, Definition
from attnbench.measurement.verify.closeness import Result, Verified, compare
from attnbench.measurement.verify.definition import random_rows, undefined
from attnbench.measurement.verify.repeated import check_finite

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
    """One result that is compared: its place among the definition's results, and the rows of it that `value` holds, if not all."""

    name: str
    place: int
    value: Tensor
    rows: Tensor | None = None


def verify_call(original: Original, call: KeptCall) -> Verified:
    """Compare a kept call with the definition, for a random sequence of its batch and all heads.

    The output is compared in 64 random rows; in training, up to 4,096 tokens, in every row, and so are all gradients. Beyond that the
    gradients of one more call are, whose upstream gradient is zero but in the 64 rows, and the timed gradient by q in these rows.

    Raises Incorrect when a result is further off than its tolerance.
    """
    check_finite(call.results)
    definition = Definition(original)
    batch, heads, seq_len, _ = call.inputs[0].shape
    why = undefined(definition.variant, definition.exact, heads, seq_len)
    if why is not None:
        return Verified(facts={"not_compared": why})
    _check_padding(call)
    at = _draw.randrange(batch)
    dense = call.upstream is not None and heads * seq_len**2 <= DENSE_NUMBERS[call.inputs[0].device.type]
    case = _case(call, at, dense)
    exact, plain = definition.exactly(case), definition.plainly(case)
    found = [_Found("the output", 0, call.results[0][at : at + 1][..., case.rows, :], case.rows)]
    if call.upstream is not None:
        found += _gradients(call, case, at, dense, definition.parameters(), exact)

    largest = max((float(x.norm()) for x in exact[1:]), default=0.0)

    def jumps() -> list[Tensor]:
        every = definition.jumps(case, exact)
        return [_at(every[one.place], one.rows) for one in found]

    results = [
        Result(
            one.name,
            found=one.value,
            exact=_at(exact[one.place], one.rows),
            plain=_at(plain[one.place], one.rows),
            in_rows=one.place <= len(case.inputs),
            scale=largest if one.place > 0 else 0.0,
        )
        for one in found
    ]
    return compare(results, case.dtype, len(case.rows), jumps)


def _case(call: KeptCall, at: int, every_row: bool) -> Case:
    """What is compared of sequence `at`: every row, or 64 random ones of those that are no padding."""
    one = slice(at, at + 1)
    mask = None if call.padding_mask is None else call.padding_mask[one]
    device, seq_len = call.inputs[0].device, call.inputs[0].shape[-2]
    rows = list(range(seq_len)) if mask is None or every_row else (~mask[0]).nonzero()[:, 0].tolist()
    if not every_row:
        rows = random_rows(rows)
    upstream = None if call.upstream is None else call.upstream[one]
    return Case([x[one].detach() for x in call.inputs], torch.tensor(rows, device=device), call.causal, mask, upstream)


def _gradients(call: KeptCall, case: Case, at: int, dense: bool, parameters: list[str], exact: list[Tensor]) -> list[_Found]:
    """The gradients that are compared: the timed ones, and where those hold more than the definition gives, of one more call.

    That call has an upstream gradient that is zero but in the case's rows of its sequence: so has the definition.
    """
    one, last = slice(at, at + 1), len(case.inputs)
    names = [f"the gradient by {name}" for name in ("q", "k", "v", "hidden")[:last]]
    own = [f"the gradient by the parameter {name}" for name in parameters]
    found = []
    if dense:
        found = [_Found(name, 1 + i, call.results[1 + i][one]) for i, name in enumerate(names)]
        if not own or len(call.inputs[0]) == 1:
            return found + [_Found(name, 1 + last + i, call.results[1 + last + i]) for i, name in enumerate(own)]
    elif _reads_its_own_query(exact[1], case.rows):
        found = [_Found(names[0], 1, call.results[1][one][..., case.rows, :], case.rows)]
    assert call.upstream is not None and call.again is not None
    upstream = torch.zeros_like(call.upstream)
    upstream[at, :, case.rows] = call.upstream[at, :, case.rows]
    results = call.again(upstream)
    said = f", where the upstream gradient is zero but in {len(case.rows)} rows"
    found += [_Found(name + said, 1 + i, results[1 + i][one]) for i, name in enumerate(names)]
    return found + [_Found(name + said, 1 + last + i, results[1 + last + i]) for i, name in enumerate(own)]


def _reads_its_own_query(gradient: Tensor, rows: Tensor) -> bool:
    """Whether each row of the output depends on no query but its own, by the exact gradient of some rows by q."""
    others = torch.ones(gradient.shape[-2], dtype=torch.bool, device=gradient.device)
    others[rows] = False
    return not gradient[..., others, :].any()


def _at(x: Tensor, rows: Tensor | None) -> Tensor:
    """The rows of a result that are compared; all of one that has no others."""
    return x if rows is None or x.shape[-2] == len(rows) else x[..., rows, :]


def _check_padding(call: KeptCall) -> None:
    """Raise Incorrect where a row of the output that is padding is not zero, in any sequence."""
    if call.padding_mask is not None and call.results[0].masked_select(call.padding_mask[:, None, :, None]).any():
        raise Incorrect("rows of the output that are padding are not zero")
