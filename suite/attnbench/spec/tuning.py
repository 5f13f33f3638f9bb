"""Tuning trials: cells by which a learning rate is chosen, each a rate and a seed, evaluated on the validation part.

A trial is a cell like any other, with its own record, except that it never reads the test part. Its seed is none of those whose results
count. Which rates are tried, and with which seeds, the protocol of the cell says; how the best is found, stats/tuning.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from attnbench.errors import BadInput
from attnbench.spec import protocol
from attnbench.spec.axes import Spec


def grid(rates: Iterable[float]) -> str:
    """The rates as a spec's lr_grid, smallest first.

    >>> grid([0.003, 0.001])
    '0.001 0.003'
    """
    return " ".join(f"{rate:.3g}" for rate in sorted(rates))


def is_open(spec: Spec) -> bool:
    """Whether a spec's rate is still to be chosen."""
    return spec.track == "task" and spec.lr is None


def trial(spec: Spec, rate: float, seed: int) -> Spec:
    """The trial of an open spec with a rate and a seed; those of all seeds of the spec are the same."""
    epochs = spec.tuned_epochs or spec.epochs
    return replace(spec, lr=rate, lr_grid=None, seed=seed, evaluate="validation", test_seq_len=None, epochs=epochs, tuned_epochs=None)


def trials(spec: Spec) -> list[Spec]:
    """The trials of an open spec that are made in any case: every rate of its grid, with each of the protocol's tuning seeds.

    Raises BadInput for a grid that is no list of rates, and for a protocol that there is not.
    """
    return [trial(spec, rate, seed) for seed in protocol.load(spec.protocol).tuning_seeds for rate in base_rates(spec)]


def deciding(specs: Iterable[Spec]) -> list[Spec]:
    """The trials that open specs may need beside those made in any case, to decide between their two best rates: two of each model.

    Stands for the two, whose rates are not known yet: the first rate of the grid.
    """
    found: dict[str, Spec] = {}
    for spec in specs:
        seed = protocol.load(spec.protocol).deciding_seed if is_open(spec) else None
        if seed is not None:
            one = trial(spec, base_rates(spec)[0], seed)
            found[one.key()] = one
    return [one for one in found.values() for _ in range(2)]


def base_rates(spec: Spec) -> list[float]:
    """The rates of a spec's grid. Raises BadInput where it is no list of rates."""
    try:
        rates = [float(rate) for rate in (spec.lr_grid or "").split()]
    except ValueError:
        rates = []
    if not rates or not all(0 < rate < math.inf for rate in rates):
        raise BadInput(f"lr_grid is {spec.lr_grid!r}; give rates above 0 with blanks between, such as '0.001 0.003'")
    return rates
