"""From a name and parameters to a module: the one place that checks both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from attnbench import registry
from attnbench.attention import Shape, Variant
from attnbench.errors import BadInput, unknown_name


def construct(name: str, num_heads: int, head_dim: int, context: Mapping[str, int | None], params: Mapping[str, Any]) -> nn.Module:
    """See `attnbench.build`."""
    variant: Variant = registry.load("variants", name)
    for given in params:
        if given not in variant.params:
            raise unknown_name(f"parameter of {registry.stem(name)}", given, variant.params, "attnbench list variants --json")
    if num_heads < 1 or head_dim < 1:
        raise BadInput(f"num_heads={num_heads} and head_dim={head_dim}; both must be at least 1")
    if num_heads % variant.head_group:
        raise BadInput(
            f"{registry.stem(name)} works on groups of {variant.head_group} heads, and num_heads={num_heads} is no multiple of it"
        )
    return variant.build(Shape(num_heads, head_dim, **context), **{**variant.params, **params})
