"""Verifies single rows of a causal mechanism, as a decoding step gives them, against the definition over all tokens until then."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from attnbench.measurement.anew import Original
from attnbench.measurement.verify.by_definition import Case, Definition
from attnbench.measurement.verify.closeness import Result, Verified, compare
from attnbench.measurement.verify.definition import forward_dense_bytes, undefined
from attnbench.measurement.verify.repeated import check_finite
from attnbench.measurement.verify.rounding import Rounding

_draw = random.SystemRandom()


def verify_rows(original: Original, tokens: Sequence[Tensor], found: Mapping[str, tuple[Tensor, Sequence[int]]]) -> Verified:
    """Compare causal outputs with the definition over all tokens, for a random sequence of the batch and all heads.

    tokens: q, k, v and, if needed, hidden, of all tokens. found: by what they are, rows of the output, [batch, heads, rows, head_dim],
    and their positions.

    Raises Incorrect when a row is further off than its tolerance.
    """
    check_finite([values for values, _ in found.values()])
    definition = Definition(original)
    batch, heads, seq_len, _ = tokens[0].shape
    why = undefined(definition.variant, definition.exact, heads, seq_len, forward_dense_bytes(tokens[0].device))
    if why is not None:
        return Verified(facts={"not_compared": why})
    at = _draw.randrange(batch)
    one = slice(at, at + 1)
    positions = [row for _, rows in found.values() for row in rows]
    case = Case([x[one] for x in tokens], torch.tensor(positions, device=tokens[0].device), causal=True)
    sizes = [len(rows) for _, rows in found.values()]
    every = definition.exactly(case)
    exact, plain = (out.split(sizes, -2) for out in (every[0], definition.plainly(case)[0]))
    results = [
        Result(name, found=values[one], exact=exactly, plain=plainly)
        for (name, (values, _)), exactly, plainly in zip(found.items(), exact, plain, strict=True)
    ]

    def parts(of_all: Rounding) -> list[Rounding]:
        def part(i: int) -> Rounding:
            return of_all.of(lambda x: x.split(sizes, -2)[i])

        return [part(i) for i in range(len(sizes))]

    rounding = (parts(of_all) for (of_all,) in definition.rounding(case, every))
    return compare(results, case.dtype, len(positions), rounding)
