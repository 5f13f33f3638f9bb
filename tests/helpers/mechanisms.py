"""Helpers to hold the contract of a mechanism against every registered name."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import attnbench
from attnbench import registry
from attnbench.attention import Decodes, Variant
from attnbench.measurement.checks import subject as shared
from attnbench.measurement.checks.subject import BATCH, GROUPS, HEAD_DIM, SEQ_LEN, Inputs, Subject, select
from attnbench.measurement.prefill import prefilled

NAMES = attnbench.names("variants")
VARIANTS: dict[str, Variant] = {name: registry.load("variants", name) for name in NAMES}
FAMILIES = {"softmax", "orthogonal", "polynomial", "linear", "other"}
leaves, backward = shared.cast, shared.gradients


def device_of(name: str) -> str:
    return "cuda" if {"cuda", "triton"} & set(VARIANTS[name].needs) else "cpu"


def runs_here(name: str) -> bool:
    packages = [need for need in VARIANTS[name].needs if need != "cuda"]
    return all(importlib.util.find_spec(need) for need in packages) and (device_of(name) == "cpu" or torch.cuda.is_available())


RUNNABLE = [name for name in NAMES if runs_here(name)]
# Their code is another's but for a few lines, and what takes seconds is done with that one in `make test`; with a new file, too.
ALIKE = {
    "cosine", "deltanet", "mamba2", "orthogonal_cayley", "orthogonal_newton_schulz", "orthogonal_qr", "power", "rebased", "relu", "shaped",
    "softmax_one", "softmax_orthogonal_init", "sparsemax", "squared_relu", "ssmax", "taylor", "uniform", "value_skipinit", "xsa",
}  # fmt: skip
assert set(NAMES) >= ALIKE


def alike_are_long(names: Sequence[str]) -> list[Any]:
    """Names for a test that takes seconds with each: those whose code is another's are long."""
    return [pytest.param(name, marks=pytest.mark.long) if name in ALIKE else name for name in names]


variants = pytest.mark.parametrize("name", RUNNABLE)


def make(name: str, seq_len: int = SEQ_LEN, head_dim: int = HEAD_DIM, groups: int = GROUPS) -> nn.Module:
    """As `attnbench check` builds it: float32, parameters stirred."""
    return subject_of(name).build(seq_len, head_dim, groups)


def draw(name: str, batch: int = BATCH, seq_len: int = SEQ_LEN, head_dim: int = HEAD_DIM, groups: int = GROUPS, seed: int = 1) -> Inputs:
    """As `attnbench check` draws them: standard normal."""
    return subject_of(name).draw(batch, seq_len, head_dim, groups, seed)


def step(module: Any, inputs: Inputs, token: int, state: object) -> tuple[Tensor, Any]:
    """One token of the inputs against a state."""
    with torch.no_grad():
        out, after = module.step(**select(inputs, slice(None), slice(token, token + 1)), state=state)
    return out, after


def state_after(module: nn.Module, inputs: Inputs, tokens: int) -> Any:
    """The decoding state that the first tokens leave."""
    with torch.no_grad():
        return prefilled(module, **select(inputs, slice(None), slice(tokens)))


def parts(state: object) -> Iterator[object]:
    """A state and all that its dataclasses and tuples hold."""
    yield state
    if dataclasses.is_dataclass(state):
        inside = [getattr(state, field.name) for field in dataclasses.fields(state)]
    else:
        inside = list(state) if isinstance(state, tuple) else []
    for part in inside:
        yield from parts(part)


def subject_of(name: str) -> Subject:
    return Subject(name, VARIANTS[name], VARIANTS[name].params, device_of(name))


def attend(module: nn.Module, inputs: Inputs, causal: bool = False, padding_mask: Tensor | None = None) -> Tensor:
    out: Tensor = module(**inputs, causal=causal, padding_mask=padding_mask)
    return out


def masks(kinds: tuple[str, ...], device: str) -> Tensor:
    return Subject("", VARIANTS["softmax"], {}, device).masks(*kinds)


def definition(name: str, exact: nn.Module, inputs: Inputs, causal: bool, padding_mask: Tensor | None) -> Tensor:
    """What the mechanism should give, from its dense matrix or its rows by definition; from the module itself where it has none."""
    variant, (q, k, v) = VARIANTS[name], (inputs[key] for key in "qkv")
    context = {key: x for key, x in inputs.items() if key not in "qkv"}
    if variant.reference is not None:
        return shared.times(variant.reference(exact, q, k, causal, padding_mask, **context), v, padding_mask)
    if hasattr(exact, "matrix"):
        return shared.times(exact.matrix(q, k, causal=causal, padding_mask=padding_mask, **context), v, padding_mask)
    if variant.reference_rows is None:
        return attend(exact, inputs, causal, padding_mask)
    out: Tensor = variant.reference_rows(exact, q, k, v, torch.arange(q.shape[-2], device=q.device), causal, padding_mask, **context)
    return out


def relative_error(actual: Tensor, exact: Tensor, floor: float = 1e-2) -> float:
    """||actual - exact|| / ||exact||; below the floor the error counts absolutely, for an exact value may be zero."""
    assert actual.isfinite().all()
    actual, exact = actual.detach().double(), exact.detach().double()
    return float((actual - exact).norm() / exact.norm().clamp_min(floor))


def gradient_error(actual: Tensor, exact: Tensor, wanted: dict[str, Tensor]) -> float:
    """The relative error of one gradient among those that are wanted.

    One that cancels to a five-hundredth of the largest, as that of a single key which is normalised by itself, is a difference of larger
    numbers: its rounding is seen beside those, and only then.
    """
    largest = max(float(gradient.norm()) for gradient in wanted.values())
    cancels = float(exact.norm()) < 2e-3 * largest
    return relative_error(actual, exact, max(1e-2, 1e-2 * largest) if cancels else 1e-2)


DECODING = [name for name in RUNNABLE if isinstance(make(name), Decodes)]
decoding = pytest.mark.parametrize("name", DECODING)
