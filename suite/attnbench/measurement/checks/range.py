"""Whether output and gradients stay finite for inputs that are large, tiny or zero."""

from __future__ import annotations

import torch

from attnbench.attention import Unsupported
from attnbench.measurement.anew import state_of
from attnbench.measurement.checks.finding import Finding, bracketed, failed, form, passed
from attnbench.measurement.checks.subject import Inputs, Subject, attend, cast, flat, gradients

# In float32 a cube of scores, (1e3)^6 times values of 1e3, is still far from the largest number; in float16 one of factor 2 is.
SCALES = {torch.float32: (1e3, 1e2, 1e1, 1e-6, 0.0), torch.bfloat16: (1e2, 1e-6, 0.0), torch.float16: (2.0, 1e-6, 0.0)}
ROOM = 1e-3  # share of the dtype's largest number that the exact result may reach and still be asked for


def finite(subject: Subject) -> Finding:
    """Finite wherever the exact output and gradients, by the same module in float64, are well within the dtype's range."""
    asked = 0
    for dtype, scales in SCALES.items():
        module = subject.build(dtype=dtype)
        state = state_of(module)
        for scale in scales:
            drawn = {key: (scale * x).to(dtype) for key, x in subject.draw().items()}
            for causal in subject.forms:
                try:
                    found = _outcome(subject, module, drawn, dtype, causal)
                except Unsupported:
                    if dtype == torch.float32:
                        raise
                    continue
                if found.isfinite().all():
                    asked += 1
                    continue
                finest = subject.finest()
                wanted = _outcome(subject, subject.build(dtype=finest, state=state), drawn, finest, causal)
                if not wanted.isfinite().all():
                    even = f"even in {str(finest).removeprefix('torch.')}{bracketed(form(causal))}"
                    return failed(f"inputs of size {scale:g} give values that are not finite, {even}")
                if float(wanted.abs().max()) <= ROOM * torch.finfo(dtype).max:
                    name = str(dtype).removeprefix("torch.")
                    return failed(f"inputs of size {scale:g} give values that are not finite in {name}{bracketed(form(causal))}")
    return passed(f"finite in {asked} cases: float32 at sizes 1e3 to 1e-6 and 0, bfloat16 at 1e2, float16 at 2")


def _outcome(subject: Subject, module: torch.nn.Module, drawn: Inputs, dtype: torch.dtype, causal: bool) -> torch.Tensor:
    """The output and, where the mechanism has a backward pass, all gradients."""
    with_gradients = subject.gradient_trouble(causal) is None
    inputs = cast(drawn, dtype, with_gradients)
    out = attend(module, inputs, causal)
    more = [flat(gradients(out, module, inputs))] if with_gradients else []
    return torch.cat([out.detach().double().flatten(), *more])
