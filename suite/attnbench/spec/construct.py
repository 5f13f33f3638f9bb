"""Builds a mechanism's module from its name and parameters, and checks both."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from attnbench import registry
from attnbench.attention import Shape, Unsupported, Variant
from attnbench.errors import BadInput, Unavailable, text_of, unknown_name
from attnbench.registry import process_settings
from attnbench.spec.plain import plain_params
from attnbench.spec.variant_fields import check_fields


def construct(name: str, num_heads: int, head_dim: int, context: Mapping[str, int | None], params: Mapping[str, Any]) -> nn.Module:
    """Build a mechanism; see `attnbench.build`. Raises Unavailable when the mechanism needs what is not here."""
    variant = load_variant(name)
    check_params(name, variant, params)
    if num_heads < 1 or head_dim < 1:
        raise BadInput(f"num_heads={num_heads} and head_dim={head_dim}; both must be at least 1")
    if num_heads % variant.head_group:
        raise BadInput(
            f"{registry.stem(name)} works on groups of {variant.head_group} heads, and num_heads={num_heads} is no multiple of it"
        )
    _check_kv_heads(registry.stem(name), variant, num_heads, context.get("num_kv_heads"))
    for need in variant.needs:
        if why := _why_not_here(need):
            raise Unavailable(f"{registry.stem(name)} needs {need}, which {why}; install it, or leave this mechanism out")
    with process_settings.kept(f"build of {registry.stem(name)}"):
        try:
            return variant.build(Shape(num_heads, head_dim, **context), **{**variant.params, **params})
        except ModuleNotFoundError as error:
            raise Unavailable(
                f"{registry.stem(name)} imports what is not here: {error}; install it, or leave this mechanism out"
            ) from error


def _check_kv_heads(name: str, variant: Variant, num_heads: int, num_kv_heads: int | None) -> None:
    """Raise BadInput for a number of key-value heads that cannot be, and Unsupported where the mechanism has no grouped queries."""
    if num_kv_heads is None or num_kv_heads == num_heads:
        return
    if num_kv_heads < 1 or num_heads % num_kv_heads:
        raise BadInput(f"num_kv_heads is {num_kv_heads}; it must divide the number of heads, {num_heads}")
    if not variant.grouped:
        raise Unsupported(f"{name} has no grouped queries: it takes as many key-value heads as heads, {num_heads}, not {num_kv_heads}")


def _why_not_here(need: str) -> str | None:
    """Why something that a mechanism needs cannot be used here; None where it can."""
    if need == "cuda":
        return None if torch.cuda.is_available() else "is not here"
    try:
        return None if find_spec(need) else "is not here"
    except ModuleNotFoundError:  # of a module in a package that is not here
        return "is not here"
    except ValueError:  # it is loaded, and whoever loaded it did not say from where
        return None if need in sys.modules else "is not here"
    except (Exception, SystemExit) as error:  # a package is imported to look for a module in it, and may raise anything
        return f"cannot be imported here ({type(error).__name__}: {text_of(error)})"


def load_variant(name: str) -> Variant:
    """The declaration of a registered variant or of a file, its default parameters as a record holds them: a tuple is a list.

    Raises BadInput when there is none, it is something else than a Variant, a field is not what it may be, or a record could not hold a
    parameter.
    """
    variant = registry.load("variants", name)
    if not isinstance(variant, Variant):
        raise BadInput(f"VARIANT of {registry.stem(name)} is a {type(variant).__name__}; end the file in VARIANT = Variant(...)")
    check_fields(variant, registry.stem(name))
    params = plain_params(variant.params, registry.stem(name))
    for unless in variant.orthogonal_unless:
        if unless not in params:
            raise unknown_name(f"param in orthogonal_unless of {registry.stem(name)}", unless, params, "it is to be one of its params")
    return dataclasses.replace(
        variant,
        time_exponent=float(variant.time_exponent),
        memory_exponent=float(variant.memory_exponent),
        params=params,
        needs=tuple(variant.needs),
        orthogonal_unless=tuple(variant.orthogonal_unless),
    )


def check_params(name: str, variant: Variant, params: Mapping[str, Any]) -> None:
    """Raise BadInput for a parameter that the variant does not declare."""
    for given in params:
        if given not in variant.params:
            known = f"it has {', '.join(variant.params) or 'none'}"
            raise unknown_name(f"parameter of {registry.stem(name)}", given, variant.params, known)
