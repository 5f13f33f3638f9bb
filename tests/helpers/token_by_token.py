"""Holds a chunked or tiled form in float32 against the same sums token by token, with all of its gradients."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from helpers.mechanisms import relative_error

Form = Callable[[nn.Module, dict[str, Tensor]], Tensor]


def results(form: Form, module: nn.Module, drawn: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """The output of a form in a dtype, and its gradients by all inputs and parameters, each under its name."""
    one, inputs = copy.deepcopy(module).to(dtype), {key: x.to(dtype).requires_grad_() for key, x in drawn.items()}
    upstream = torch.randn(drawn["v"].shape, generator=torch.Generator().manual_seed(5)).to(dtype)
    wanted, out = {**inputs, **dict(one.named_parameters())}, form(one, inputs)
    return {"out": out.detach(), **dict(zip(wanted, torch.autograd.grad(out, list(wanted.values()), upstream), strict=True))}


def check_exactness(form: Form, module: nn.Module, drawn: Mapping[str, Tensor], may_cancel: bool = False) -> None:
    """Holds the causal output of a module and each gradient in float32: at most 4 times the error of `form`, against `form` in float64.

    With `may_cancel` the error of a gradient that cancels, as that by the score of a lone key, counts beside what it is a difference of.
    """
    found = results(lambda one, inputs: one(**inputs, causal=True), module, drawn, torch.float32)
    plain, exact = (results(form, module, drawn, dtype) for dtype in (torch.float32, torch.float64))
    largest = max(float(x.norm()) for x in exact.values())
    for key, wanted in exact.items():
        cancels = may_cancel and float(wanted.norm()) < 2e-3 * largest
        floor = max(1e-30, 1e-2 * largest) if cancels else 1e-30
        allowed = 4 * relative_error(plain[key], wanted, floor) + torch.finfo(torch.float32).eps
        assert relative_error(found[key], wanted, floor) <= allowed, key
