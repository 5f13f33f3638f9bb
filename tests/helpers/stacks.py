"""Small stacks for tests, and mechanisms that record what they are given."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import Tensor, nn

import attnbench
from attnbench import registry
from attnbench.attention import Variant
from attnbench.training.model import Architecture, Stack

BLOCKS = ("residual", "skipless")
BATCH, SEQ_LEN, HEADS, HEAD_DIM = 3, 11, 2, 5
D_MODEL = HEADS * HEAD_DIM
NAMES = [
    name
    for name in attnbench.names("variants")
    if all(need != "cuda" and importlib.util.find_spec(need) for need in registry.load("variants", name).needs)
]
blocks = pytest.mark.parametrize("block", BLOCKS)
names = pytest.mark.parametrize("name", NAMES)


def architecture(
    name: str, block: str, num_layers: int = 2, heads: int = HEADS, head_dim: int = HEAD_DIM, seq_len: int = SEQ_LEN
) -> Architecture:
    variant: Variant = registry.load("variants", name)
    heads, d_model = heads * variant.head_group, heads * variant.head_group * head_dim

    def build_attention(layer_index: int) -> nn.Module:
        return attnbench.build(name, heads, head_dim, seq_len=seq_len, d_model=d_model, layer_index=layer_index, num_layers=num_layers)

    return Architecture(
        block=block,
        num_layers=num_layers,
        num_heads=heads,
        d_model=d_model,
        build_attention=build_attention,
        needs_hidden=variant.needs_hidden,
    )


def is_causal(name: str) -> bool:
    """Whether a test calls a stack of this mechanism causally: only where the mechanism has no other form."""
    variant: Variant = registry.load("variants", name)
    return variant.forms[0]


def reads_qk(name: str) -> bool:
    """Whether a mechanism reads queries and keys, so that W_Q and W_K learn."""
    variant: Variant = registry.load("variants", name)
    return variant.reads_qk


class Recorder(nn.Module):
    """A mechanism of the tests' own: passes the values on and remembers what it was given."""

    def __init__(self, layer_index: int) -> None:
        super().__init__()
        self.layer_index = layer_index
        self.seen: dict[str, object] = {}

    def forward(self, q: Tensor, k: Tensor, v: Tensor, **context: object) -> Tensor:
        self.seen = {"q": q, "k": k, "v": v, **context}
        return v


class Initialised(Recorder):
    """One with projections of its own."""

    def init_projections(self, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor) -> None:
        with torch.no_grad():
            for value, weight in enumerate((w_q, w_k, w_v, w_o), start=1):
                weight.fill_(float(value))


def recording(block: str, mechanism: type[Recorder] = Recorder, needs_hidden: bool = False) -> Stack:
    return Stack(
        Architecture(block=block, num_layers=2, num_heads=HEADS, d_model=D_MODEL, build_attention=mechanism, needs_hidden=needs_hidden)
    )


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
