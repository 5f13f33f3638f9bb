"""Whether torch.compile and torch.func.vmap take the mechanism: reported, for neither is part of the contract."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from attnbench.measurement.checks.finding import Finding, finding
from attnbench.measurement.checks.subject import Subject, cast, flat, gradients, relative_error


def compiled(subject: Subject) -> Finding:
    """torch.compile with the backend aot_eager: forward and backward are traced, and run as they are."""
    from torch._dynamo.utils import counters

    def run() -> str:
        causal = subject.forms[0]
        with_gradients = subject.gradient_trouble(causal) is None
        module, inputs = subject.build(), cast(subject.draw(), torch.float32, with_gradients)

        def results(out: Tensor) -> list[Tensor]:
            return [out, *([flat(gradients(out, module, inputs))] if with_gradients else [])]

        wanted = results(module(**inputs, causal=causal))
        torch._dynamo.reset()
        counters.clear()
        found = results(torch.compile(module, backend="aot_eager")(**inputs, causal=causal))
        breaks = sum(counters["graph_break"].values())
        difference = max(relative_error(one, other) for one, other in zip(found, wanted, strict=True))
        return f"compiles with {breaks} graph breaks; relative difference from eager {difference:.1e}"

    return _reported(run)


def vmapped(subject: Subject) -> Finding:
    """torch.func.vmap over an axis before the batch."""

    def run() -> str:
        module = subject.build()
        drawn = [subject.draw(seed=seed) for seed in (1, 2, 3)]
        stacked = {key: torch.stack([inputs[key] for inputs in drawn]) for key in drawn[0]}

        def call(inputs: dict[str, Tensor]) -> Tensor:
            out: Tensor = module(**inputs, causal=subject.forms[0])
            return out

        with torch.no_grad():
            found = torch.func.vmap(call)(stacked)
            wanted = torch.stack([call(inputs) for inputs in drawn])
        return f"works; relative difference from a loop {relative_error(found, wanted):.1e}"

    return _reported(run)


def _reported(run: Callable[[], str]) -> Finding:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the tools, about what they meet; the outcome says enough
            return finding("reported", run())
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), "")[:200]
        return finding("reported", f"does not work: {type(error).__name__}: {first}")
