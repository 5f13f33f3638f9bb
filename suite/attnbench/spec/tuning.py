"""The choice of a learning rate: every rate of a grid is tried on one seed, judged on the validation part, and the best used for all.

A trial is a cell like any other, with its own record, but for the test part, which it never reads. Its seed is none of those that count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from attnbench.errors import BadInput
from attnbench.runner.larger_sizes import Refusal
from attnbench.spec.axes import Spec
from attnbench.store.record import Record
from attnbench.workload import METRICS

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
    """What has to be known before an open spec's rate can be chosen.

    Raises BadInput for a grid that is no list of rates.
    """
    return [replace(spec, lr=rate, lr_grid=None, seed=SEED, evaluate="validation") for rate in _rates(spec)]


def close(spec: Spec, tried: Iterable[Record]) -> Spec | Refusal:
    """An open spec with the rate whose trial has the best validation metric, the smaller of two as good; or how it ends without one.

    tried: the records of its trials. One that diverged is the worst there is; one that failed tells nothing, and where all failed alike
    the cell would have too.
    """
    found: list[tuple[bool, float, float]] = []
    failed: dict[str, str] = {}  # reason by status
    for record in tried:
        rate = record.spec.lr
        assert rate is not None
        if record.status != "ok":
            failed.setdefault(record.status, (record.reason or "no reason given").splitlines()[0])
            continue
        metric = next(name for name in METRICS if f"validation_{name}" in record.measurements)
        value = record.measurements[f"validation_{metric}"][0]
        found.append((bool(record.measurements["diverged"][0]), -value if METRICS[metric] else value, rate))
    if not found and len(failed) == 1:
        return Refusal(*next(iter(failed.items())))
    if not found:
        return Refusal("skipped", f"no rate could be tried; {'; '.join(f'{status}: {why}' for status, why in failed.items())}")
    return replace(spec, lr=min(found)[2])


def _rates(spec: Spec) -> list[float]:
    try:
        rates = [float(rate) for rate in (spec.lr_grid or "").split()]
    except ValueError:
        rates = []
    if not rates or min(rates) <= 0:
        raise BadInput(f"lr_grid is {spec.lr_grid!r}; give rates above 0 with blanks between, such as '0.001 0.003'")
    return rates
