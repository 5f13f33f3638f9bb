"""Compares the results of timed calls with the same calls repeated."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from attnbench.errors import Incorrect
from attnbench.measurement.verify.closeness import ZERO

UNITS_REPEATED, MOST_REPEATED = 256.0, 5e-2  # rounding units between two computations of one result, and most of it in half precision
_CANCELLED = 1e-3  # a result this much smaller than the largest is compared on the scale of the largest


def repeated_tolerance(dtype: torch.dtype) -> float:
    """Relative difference allowed between a timed result and the same result computed again: the sums may be taken in another order."""
    return min(UNITS_REPEATED * torch.finfo(dtype).eps, MOST_REPEATED)


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


def _largest(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The largest relative difference.

    A result that is far smaller than the largest is compared on that one's scale; where all are zero, on that of the inputs.
    """
    norms = [float(x.double().norm()) for x in expected]
    units = [math.sqrt(x.numel()) for x in expected]  # the norms of as many numbers of unit variance
    all_zero = all(norm <= ZERO * unit for norm, unit in zip(norms, units, strict=True))
    least = max(units) if all_zero else _CANCELLED * max(norms)
    differences = [float((one.double() - other.double()).norm()) for one, other in zip(found, expected, strict=True)]
    return max(difference / max(norm, least) for difference, norm in zip(differences, norms, strict=True))
