"""The choice of a learning rate: every rate of a grid is tried on one seed, evaluated on the validation part, and the best used for all.

A trial is a cell like any other, with its own record, except that it never reads the test part. Its seed is none of those whose results
count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from attnbench.errors import BadInput
from attnbench.spec.axes import Spec

SEED = 1000  # of every trial


def grid(rates: Iterable[float]) -> str:
    """The rates as a spec's lr_grid, smallest first.

    >>> grid([0.003, 0.001])
    '0.001 0.003'
    """
    return " ".join(f"{rate:.3g}" for rate in sorted(rates))


def is_open(spec: Spec) -> bool:
    """Whether a spec's rate is still to be chosen."""
    return spec.track == "task" and spec.lr is None


def trials(spec: Spec) -> list[Spec]:
    """The trials of an open spec, one for each rate of its grid, from whose records the rate is chosen.

    Raises BadInput for a grid that is no list of rates.
    """
    return [replace(spec, lr=rate, lr_grid=None, seed=SEED, evaluate="validation") for rate in _rates(spec)]


def _rates(spec: Spec) -> list[float]:
    try:
        rates = [float(rate) for rate in (spec.lr_grid or "").split()]
    except ValueError:
        rates = []
    if not rates or min(rates) <= 0:
        raise BadInput(f"lr_grid is {spec.lr_grid!r}; give rates above 0 with blanks between, such as '0.001 0.003'")
    return rates
