"""How close a result must come to its definition in float64: within a multiple of what the plain form loses in the same dtype.

The plain form is the definition computed in the cell's dtype; in half precision it is computed in float32 and rounded. A result is compared
as a whole, and row by row, each row on its own scale: zeros where the right answer is tiny are no small error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor

from attnbench.errors import Incorrect

TIMES_PLAIN = 4.0
UNITS = 8.0  # in the last place, allowed on top: the plain form may happen to be exact
# What is allowed at most, and where the plain form is not finite. It is below what a product in float16, or rounded as in TF32, would lose.
MOST = MappingProxyType({"float64": 1e-9, "float32": 1e-4, "bfloat16": 5e-2, "float16": 1e-2})
ZERO = 1e-12  # where no exact number is larger, all are rounding of zero, and found numbers are compared on the scale of the inputs


Slack = Callable[[], Sequence[Tensor]]


@dataclass(frozen=True)
class Result:
    """One result of a call, and the same by definition.

    name:     what it is, in words.
    found:    what the call gave, in the cell's dtype; the last dimension holds the rows, if `in_rows`.
    exact:    the definition in float64.
    plain:    the definition in float32, rounded to the cell's dtype if that is narrower.
    gradient: whether it is a gradient: its rows are differences of larger numbers, and rounding shows on the scale of the largest row.
    """

    name: str
    found: Tensor
    exact: Tensor
    plain: Tensor
    in_rows: bool = True
    gradient: bool = False


@dataclass(frozen=True)
class Verified:
    """What verification adds to a cell: samples and facts of its record."""

    samples: dict[str, list[float]] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Judged:
    """The error of one result, and what is allowed; the same of the row that comes closest to its limit, or goes furthest beyond it."""

    name: str
    error: float
    allowed: float
    row_error: float
    row_allowed: float

    @property
    def share(self) -> float:
        """How much of its limit it takes; infinite where no number says."""
        return max(_share(self.error, self.allowed), _share(self.row_error, self.row_allowed))


def compare(results: Sequence[Result], dtype: torch.dtype, rows: int, slack: Slack | None = None, capped: bool = True) -> Verified:
    """The error of the result that comes closest to its limit, that limit, and the largest relative error of one row.

    rows:  how many rows were compared.
    slack: called where a result is beyond its limit; gives, of each result, by how much more it may be off, see `moved.Moved`.
    capped: whether no more than the dtype's MOST is allowed, whatever the plain form loses.

    Raises Incorrect when a result is beyond its limit.
    """
    named = str(dtype).removeprefix("torch.")
    judged = [_judge(result, None, dtype, capped) for result in results]
    if slack is not None and any(not one.share <= 1.0 for one in judged):
        judged = [_judge(result, more, dtype, capped) for result, more in zip(results, slack(), strict=True)]
    worst = max(judged, key=lambda one: one.share)
    if not _share(worst.error, worst.allowed) <= 1.0:
        said = f"the error against the float64 reference is {worst.error:.1e} in {worst.name}"
        raise Incorrect(f"{said}; {worst.allowed:.1e} is allowed in {named}")
    if not worst.share <= 1.0:
        said = f"the error against the float64 reference is {worst.row_error:.1e} in a row of {worst.name}, on the scale of that row"
        raise Incorrect(f"{said}; {worst.row_allowed:.1e} is allowed in {named}")
    row_error = max(one.row_error for one in judged)
    samples = {"error": worst.error, "error_allowed": worst.allowed, "row_error": row_error, "verified_rows": float(rows)}
    return Verified({name: [value] for name, value in samples.items()})


def _judge(result: Result, slack: Tensor | None, dtype: torch.dtype, capped: bool) -> _Judged:
    found, exact, plain = (_rows(x, result.in_rows) for x in (result.found, result.exact, result.plain))
    eps, width = torch.finfo(dtype).eps, math.sqrt(exact.shape[-1])
    finer = min(1.0, eps / torch.finfo(torch.float32).eps)  # the plain form of a float64 cell is that in float32
    more = torch.zeros_like(exact) if slack is None else _rows(slack, result.in_rows)
    off, lost, more = (x.norm(dim=-1) for x in (found - exact, (plain - exact) * finer, more))
    own = exact.norm(dim=-1)
    is_zero = not float(own.max()) > ZERO * width
    if is_zero:
        own = torch.full_like(own, width)
    scale = float(own.norm())
    loses = float(lost.norm()) / scale
    limit, most = TIMES_PLAIN * loses + UNITS * eps, MOST[str(dtype).removeprefix("torch.")]
    if not math.isfinite(limit) or (capped and limit > most):
        limit = most
    allowed = limit + float(more.norm()) / scale
    rows_allowed = TIMES_PLAIN * lost.nan_to_num(0.0) + limit * own + more
    rows_allowed += UNITS * width * torch.finfo(dtype).smallest_normal * eps  # below that step no number of the dtype is
    rounding = UNITS * eps * own.max() if result.gradient else torch.zeros(())
    rows_allowed += rounding
    row = int((off / rows_allowed).nan_to_num(nan=math.inf).argmax())
    row_scale = float(own[row] if own[row] > rounding else own.max())
    return _Judged(result.name, float(off.norm()) / scale, allowed, float(off[row]) / row_scale, float(rows_allowed[row]) / row_scale)


def _rows(x: Tensor, in_rows: bool) -> Tensor:
    """The rows of a tensor, [rows, width], in float64; all of it in one row if it has none."""
    return (x.flatten(0, -2) if in_rows else x.flatten()[None]).double()


def _share(value: float, allowed: float) -> float:
    share = value / allowed if allowed > 0 else (1.0 if value <= allowed else math.inf)
    return share if math.isfinite(share) else math.inf
