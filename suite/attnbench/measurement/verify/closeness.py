"""How close a result must come to its definition in float64: within a multiple of what the plain form loses in the same dtype.

The plain form is the definition computed in the cell's dtype; in half precision it is computed in float32 and rounded. A result is compared
as a whole, and row by row, each row on its own scale: zeros where the right answer is tiny are no small error. Where it is further off, the
plain form may by chance have lost little: then what it loses is the most of several samples, see `rounding`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor

from attnbench.errors import Incorrect
from attnbench.measurement.verify.rounding import Rounding

TIMES_PLAIN, TIMES_PLAIN_STACK = 4.0, 8.0
TIMES_JUMP = 2.0
# In the last place, allowed on top: the plain form may happen to be exact. Half precision gets fewer, for there the plain form, computed in
# float32, always loses its one rounding, and as many of its wide units would let eight-bit arithmetic pass.
UNITS = MappingProxyType({"float64": 8.0, "float32": 8.0, "bfloat16": 2.0, "float16": 2.0})
# Of one row, in multiples of what the same rule gives: in half precision honest scores are rounded before the exponential, and a row that
# attends to few keys loses several times what the others do. Eight-bit values are told by the norm of all rows.
ROW_TIMES = MappingProxyType({"float64": 1.0, "float32": 1.0, "bfloat16": 3.0, "float16": 3.0})
# What is allowed at most, and where the plain form is not finite. It is below what a product in float16, or rounded as in TF32, would lose.
MOST = MappingProxyType({"float64": 1e-9, "float32": 1e-4, "bfloat16": 5e-2, "float16": 1e-2})
FEW = 64  # one row in this many may be beyond its limit by chance, the plain form having lost little there, such as the first of each head
ZERO = 1e-12  # where no exact number is larger, all are rounding of zero, and found numbers are compared on the scale of the inputs


@dataclass(frozen=True)
class Allowance:
    """How far results may be off. times: multiple of what the plain form loses; capped: whether the dtype's MOST is allowed at most."""

    times: float = TIMES_PLAIN
    capped: bool = True


CALL = Allowance()
# A deep stack without residuals amplifies rounding, and by how much differs from one computation to the next: of 48 seeds of the worst
# mechanism, twelve layers deep, the largest error came close to 4 times the largest of nine samples.
STACK = Allowance(TIMES_PLAIN_STACK, capped=False)


@dataclass(frozen=True)
class Result:
    """One result of a call, and the same by definition.

    name:    what it is, in words.
    found:   what the call gave, in the cell's dtype.
    exact:   the definition in float64.
    plain:   the definition in float32, rounded to the cell's dtype if that is narrower.
    in_rows: whether its last dimension holds rows that are compared one by one.
    scale:   of a gradient, the norm of the largest that was computed with it. Gradients are differences of larger numbers: rounding shows
             on that scale, and in one row of them on the scale of the largest. 0 for an output.
    minuend: where `found` is the difference of two results, the larger of them, on whose scale both are rounded.
    """

    name: str
    found: Tensor
    exact: Tensor
    plain: Tensor
    in_rows: bool = True
    scale: float = 0.0
    minuend: Tensor | None = None


@dataclass(frozen=True)
class Verified:
    """What verification adds to a cell: samples and facts of its record."""

    samples: dict[str, list[float]] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)

    def worst_of(self, other: Verified) -> Verified:
        """The larger of each figure of two calls of one cell, and the facts of both."""
        larger = {name: max(values, other.samples.get(name, values)) for name, values in self.samples.items()}
        return Verified({**other.samples, **larger}, {**self.facts, **other.facts})


@dataclass(frozen=True)
class _Judged:
    """The error of one result, and what is allowed; the same of the row that comes closest to its limit, or goes furthest beyond it."""

    name: str
    error: float
    allowed: float
    row_error: float
    row_allowed: float
    beyond: int  # rows
    rows: int

    @property
    def may_be_chance(self) -> bool:
        """Whether few rows, if any, are beyond their limits, as by chance they may be: see FEW."""
        return self.beyond <= max(1, self.rows // FEW)

    @property
    def share(self) -> float:
        """How much of its limit it takes; infinite where no number says."""
        return max(_share(self.error, self.allowed), _share(self.row_error, self.row_allowed))


def compare(
    results: Sequence[Result], dtype: torch.dtype, rows: int, rounding: Iterable[Sequence[Rounding]] = (), allowance: Allowance = CALL
) -> Verified:
    """The largest relative error, the largest of one row, and the largest share of its limit that a result or a row takes.

    rows:      how many rows were compared.
    rounding:  what rounding may do to each result, ever better known. The first is taken where a result is beyond its limit, the others as
               long as it is beyond in few rows: what is wrong in many is no chance, and would take all of them.
    allowance: CALL, or STACK for results of a stack.

    Raises Incorrect when a result is beyond its limit.
    """
    named = str(dtype).removeprefix("torch.")
    judged = [_judge(result, None, dtype, allowance) for result in results]
    for every in rounding if any(not one.share <= 1.0 for one in judged) else ():
        judged = [_judge(result, rounded, dtype, allowance) for result, rounded in zip(results, every, strict=True)]
        if all(one.share <= 1.0 for one in judged) or not all(one.may_be_chance for one in judged):
            break
    worst = max(judged, key=lambda one: one.share)
    if not _share(worst.error, worst.allowed) <= 1.0:
        said = f"the error against the float64 reference is {worst.error:.1e} in {worst.name}"
        raise Incorrect(f"{said}; {worst.allowed:.1e} is allowed in {named}")
    if not worst.share <= 1.0:
        said = f"the error against the float64 reference is {worst.row_error:.1e} in a row of {worst.name}, on the scale of that row"
        raise Incorrect(f"{said}; {worst.row_allowed:.1e} is allowed in {named}")
    row_error = max(one.row_error for one, result in zip(judged, results, strict=True) if result.in_rows)
    error = max(one.error for one in judged)
    samples = {"error": error, "row_error": row_error, "error_share": worst.share, "verified_rows": float(rows)}
    return Verified({name: [value] for name, value in samples.items()})


def _judge(result: Result, rounded: Rounding | None, dtype: torch.dtype, allowance: Allowance) -> _Judged:
    found, exact, plain = (_rows(x, result.in_rows) for x in (result.found, result.exact, result.plain))
    named, eps, width = str(dtype).removeprefix("torch."), torch.finfo(dtype).eps, math.sqrt(exact.shape[-1])
    units = UNITS[named] * eps
    finer = min(1.0, eps / torch.finfo(torch.float32).eps)  # the plain form of a float64 cell is that in float32
    losses = [plain - exact, *(() if rounded is None else (_rows(x, result.in_rows) for x in rounded.losses))]
    lost = torch.stack([x.norm(dim=-1) * finer for x in losses])  # [samples, rows]
    jumped = torch.zeros_like(exact) if rounded is None else TIMES_JUMP * _rows(rounded.jump, result.in_rows)
    off, more = (found - exact).norm(dim=-1), jumped.norm(dim=-1)
    own = exact.norm(dim=-1)
    if not float(own.max()) > ZERO * width:
        own = torch.full_like(own, width)
    norm = float(own.norm())
    limit = allowance.times * float(lost.norm(dim=-1).max()) / norm + units
    if not math.isfinite(limit) or (allowance.capped and limit > MOST[named]):
        limit = MOST[named]
    if result.minuend is not None:
        more = more + 2 * limit * _rows(result.minuend, result.in_rows).norm(dim=-1)
    allowed = limit + (units * result.scale + float(more.norm())) / norm
    rounding = units * max(float(own.max()), result.scale / math.sqrt(len(own))) if result.scale else 0.0
    rounding += units * width * torch.finfo(dtype).smallest_normal  # no number of the dtype is finer
    rows_allowed = ROW_TIMES[named] * (allowance.times * lost.nan_to_num(0.0, posinf=0.0).amax(0) + limit * own) + more + rounding
    row = int((off / rows_allowed).nan_to_num(nan=math.inf).argmax())
    row_norm = float(own[row] if own[row] > rounding else own.max())
    beyond = int((~(off <= rows_allowed)).sum())
    row_error, row_allowed = float(off[row]) / row_norm, float(rows_allowed[row]) / row_norm
    return _Judged(result.name, float(off.norm()) / norm, allowed, row_error, row_allowed, beyond, len(own))


def _rows(x: Tensor, in_rows: bool) -> Tensor:
    """The rows of a tensor, [rows, width], in float64; all of it in one row if it has none."""
    return (x.flatten(0, -2) if in_rows else x.flatten()[None]).double()


def _share(value: float, allowed: float) -> float:
    share = value / allowed if allowed > 0 else (1.0 if value <= allowed else math.inf)
    return share if math.isfinite(share) else math.inf
