"""The model of a spec: of what a stack of the depth track, or the model of a task, is built.

It stands in a file of its own, so that a training run's sources are those of training, and no edit of what times makes it due again.
"""

from __future__ import annotations

from torch import nn

from attnbench import registry
from attnbench.attention import Variant
from attnbench.spec.axes import Spec
from attnbench.spec.construct import construct
from attnbench.training.model import Architecture


def architecture(spec: Spec, source: str, seq_len: int | None) -> Architecture:
    """The model of a spec, each layer's mechanism told its place."""
    variant: Variant = registry.load("variants", source)

    def build_attention(layer_index: int) -> nn.Module:
        return construct(source, spec.num_heads, spec.head_dim, context_of(spec, seq_len, layer_index), spec.params)

    assert spec.block is not None and spec.num_layers is not None
    return Architecture(
        block=spec.block,
        num_layers=spec.num_layers,
        num_heads=spec.num_heads,
        d_model=spec.d_model,
        build_attention=build_attention,
        needs_hidden=variant.needs_hidden,
        token_shift=spec.token_shift,
        init_norm=spec.init_norm,
        positions=spec.positions,
    )


def context_of(spec: Spec, seq_len: int | None, layer_index: int) -> dict[str, int | None]:
    """What a layer's mechanism is told of its place."""
    return {"seq_len": seq_len, "d_model": spec.d_model, "layer_index": layer_index, "num_layers": spec.num_layers}
