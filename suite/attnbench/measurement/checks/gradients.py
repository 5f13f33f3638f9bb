"""Whether the gradients are those of finite differences."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call

from attnbench.measurement.checks.finding import Finding, failed, form, passed
from attnbench.measurement.checks.subject import Subject, cast, exact

SEQ_LEN, HEAD_DIM = 3, 2


def gradcheck(subject: Subject) -> Finding:
    """torch.autograd.gradcheck in float64 over every input and parameter, at a size where each entry can be moved."""
    for causal in subject.forms:
        for padded in (False, True):
            mask = torch.tensor([[False, False, True], [True, False, False]], device=subject.device) if padded else None
            try:
                torch.autograd.gradcheck(*_problem(subject, causal, mask))
            except torch.autograd.gradcheck.GradcheckError as error:  # type: ignore[attr-defined]
                first = " ".join(str(error).split())[:300]
                return failed(f"{first} ({form(causal, 'padded' if padded else 'unpadded')})")
    return passed(f"torch.autograd.gradcheck holds in float64 for inputs and parameters, seq_len {SEQ_LEN}")


def _problem(subject: Subject, causal: bool, mask: Tensor | None):  # type: ignore[no-untyped-def]
    module = exact(subject.build(SEQ_LEN, HEAD_DIM, groups=1))
    inputs = cast(subject.draw(2, SEQ_LEN, HEAD_DIM, groups=1), torch.float64)
    keys, parameters = list(inputs), dict(module.named_parameters())

    def call(*values: Tensor) -> Tensor:
        given = {key: x.clone() for key, x in zip(keys, values, strict=False)}
        own = dict(zip(parameters, values[len(keys) :], strict=True))
        q, k, v = (given.pop(key) for key in "qkv")
        out: Tensor = functional_call(module, own, (q, k, v), {"causal": causal, "padding_mask": mask, **given})
        return out

    return call, (*inputs.values(), *parameters.values())
