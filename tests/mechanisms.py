"""Helpers to hold the contract of a mechanism against every registered name."""

from __future__ import annotations

import importlib
import importlib.util

import pytest
import torch
from torch import Tensor, nn

import attnbench
from attnbench import registry
from attnbench.attention import Variant

NAMES = attnbench.names("variants")
VARIANTS: dict[str, Variant] = {name: registry.load("variants", name) for name in NAMES}
FAMILIES = {"softmax", "orthogonal", "polynomial", "linear", "other"}
BATCH, GROUPS, SEQ_LEN, HEAD_DIM = 2, 3, 11, 5  # distinct primes: no two axes can be confused
LENGTHS = (1, 7, 63, 100)
PADDED_ROWS = {"right": [7, 8, 9, 10], "left": [0, 1, 2], "holes": [2, 5, 6], "all": list(range(SEQ_LEN)), "none": []}
ALONE = ("right", "left", "none")  # holes change the distance of two tokens, on which a mechanism may depend

Inputs = dict[str, Tensor]  # q, k, v, and hidden where the mechanism wants it


def device_of(name: str) -> str:
    return "cuda" if {"cuda", "triton"} & set(VARIANTS[name].needs) else "cpu"


def runs_here(name: str) -> bool:
    packages = [need for need in VARIANTS[name].needs if need != "cuda"]
    return all(importlib.util.find_spec(need) for need in packages) and (device_of(name) == "cpu" or torch.cuda.is_available())


RUNNABLE = [name for name in NAMES if runs_here(name)]
FORMS = [(name, causal) for name in RUNNABLE for causal in (False, True) if not causal or VARIANTS[name].causal]
variants = pytest.mark.parametrize("name", RUNNABLE)
forms = pytest.mark.parametrize(("name", "causal"), FORMS)


def make(name: str, seq_len: int = SEQ_LEN, head_dim: int = HEAD_DIM, groups: int = GROUPS) -> nn.Module:
    """A float32 module whose parameters are stirred, so that none of them hides behind a zero or a one."""
    heads = groups * VARIANTS[name].head_group
    torch.manual_seed(0)
    module = attnbench.build(name, heads, head_dim, seq_len=seq_len, d_model=heads * head_dim, layer_index=1, num_layers=3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module.to(device_of(name))


def draw(name: str, batch: int = BATCH, seq_len: int = SEQ_LEN, head_dim: int = HEAD_DIM, groups: int = GROUPS, seed: int = 1) -> Inputs:
    generator = torch.Generator().manual_seed(seed)
    heads = groups * VARIANTS[name].head_group
    inputs = {key: torch.randn(batch, heads, seq_len, head_dim, generator=generator) for key in "qkv"}
    if VARIANTS[name].needs_hidden:
        inputs["hidden"] = torch.randn(batch, seq_len, heads * head_dim, generator=generator)
    return {key: x.to(device_of(name)) for key, x in inputs.items()}


def attend(module: nn.Module, inputs: Inputs, causal: bool = False, padding_mask: Tensor | None = None) -> Tensor:
    hidden = {key: x for key, x in inputs.items() if key == "hidden"}
    out: Tensor = module(inputs["q"], inputs["k"], inputs["v"], causal=causal, padding_mask=padding_mask, **hidden)
    return out


def select(inputs: Inputs, rows: Tensor | slice, tokens: Tensor | slice = slice(None)) -> Inputs:
    """Some sequences, and some tokens of them."""
    return {key: x[rows][..., tokens, :] for key, x in inputs.items()}


def leaves(inputs: Inputs, dtype: torch.dtype) -> Inputs:
    return {key: x.detach().to(dtype).requires_grad_() for key, x in inputs.items()}


def masks(kinds: tuple[str, ...], device: str) -> Tensor:
    mask = torch.zeros(len(kinds), SEQ_LEN, dtype=torch.bool)
    for row, kind in enumerate(kinds):
        mask[row, PADDED_ROWS[kind]] = True
    return mask.to(device)


def definition(name: str, exact: nn.Module, inputs: Inputs, causal: bool, padding_mask: Tensor | None) -> Tensor:
    """What the mechanism should give, from its dense matrix; from the module itself where it has none."""
    reference = VARIANTS[name].reference
    q, k, v = inputs["q"], inputs["k"], inputs["v"]
    if reference is not None:
        matrix = reference(exact, q, k, causal, padding_mask)
    elif hasattr(exact, "matrix"):
        matrix = exact.matrix(q, k, causal=causal, padding_mask=padding_mask)
    else:
        return attend(exact, inputs, causal, padding_mask)
    return matrix @ (v if padding_mask is None else v.masked_fill(padding_mask[:, None, :, None], 0.0))


def backward(out: Tensor, module: nn.Module, inputs: Inputs) -> dict[str, Tensor]:
    """Gradients of every input and parameter for a fixed upstream gradient; zero for what is not used."""
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).to(out.device, out.dtype)
    named = {**inputs, **dict(module.named_parameters())}
    gradients = torch.autograd.grad(out, list(named.values()), upstream, materialize_grads=True)
    return dict(zip(named, gradients, strict=True))


def relative_error(actual: Tensor, exact: Tensor, floor: float = 1e-2) -> float:
    """||actual - exact|| / ||exact||; below the floor the error counts absolutely, for an exact value may be zero."""
    assert actual.isfinite().all()
    actual, exact = actual.detach().double(), exact.detach().double()
    return float((actual - exact).norm() / exact.norm().clamp_min(floor))
