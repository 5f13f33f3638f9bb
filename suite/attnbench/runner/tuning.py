"""The choice of a learning rate from the records of its trials."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from attnbench.runner.cell import Refusal
from attnbench.spec.axes import Spec
from attnbench.store.metrics import RESULTS, higher_is_better
from attnbench.store.record import Record


def choose_rate(spec: Spec, tried: Iterable[Record]) -> Spec | Refusal:
    """An open spec with the rate whose trial has the best validation metric, the smallest of equals; a Refusal when there is none.

    tried: the records of its trials. A trial that diverged ranks last. One that failed does not count; where all failed with one status,
    the refusal has that status, for the cell would have failed too.
    """
    found: list[tuple[bool, float, float]] = []
    failed: dict[str, str] = {}  # reason by status
    for record in tried:
        rate = record.spec.lr
        assert rate is not None
        if record.status != "ok":
            failed.setdefault(record.status, (record.reason or "no reason given").splitlines()[0])
            continue
        metric = next((name for name in RESULTS if record.measurements.get(f"validation_{name}")), None)
        if metric is None:  # a record that somebody edited
            failed.setdefault("error", "a trial's record has no result on the validation part; measure it again with --rerun")
            continue
        value, diverged = record.measurements[f"validation_{metric}"][0], record.measurements.get("diverged")
        found.append((bool(diverged and diverged[0]), -value if higher_is_better(metric) else value, rate))
    if not found and len(failed) == 1:
        return Refusal(*next(iter(failed.items())))
    if not found:
        return Refusal("skipped", f"no rate could be tried; {'; '.join(f'{status}: {why}' for status, why in failed.items())}")
    return replace(spec, lr=min(found)[2])
