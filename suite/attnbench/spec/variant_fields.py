"""Checks the fields of a Variant when it is loaded, so that a wrong one is told by its name and not where it is first used."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attnbench.attention import IMPLEMENTATIONS, Variant
from attnbench.errors import BadInput
from attnbench.spec.axis_values import DEVICES
from attnbench.spec.plain import COUNTED, shown

STEEPEST = 100  # no growth that is measured comes near it

_FLAGS = ("normalises_rows", "equivariant", "orthogonal", "training", "needs_hidden", "grouped", "reads_qk")
_TEXTS = ("citation", "family", "formula")
_EXPONENTS = ("time_exponent", "memory_exponent")
_COUNTS = ("head_group",)


def check_fields(variant: Variant, name: str) -> None:
    """Raise BadInput for the first field that is not what a Variant may hold. name: of the variant, for the message.

    `params` are looked at by `attnbench.spec.axes.plain_params`.
    """
    for names, allowed, holds in _RULES:
        for field in names:
            value = getattr(variant, field)
            if not holds(value):
                raise BadInput(f"{field} of {name} is {shown(value)}, a {type(value).__name__}; give {allowed}")


def _is_exponent(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= STEEPEST


def _is_count(value: object) -> bool:
    return type(value) is int and 1 <= value <= COUNTED


def _are_names(value: object) -> bool:
    return isinstance(value, (tuple, list)) and all(isinstance(need, str) and need for need in value)


def _are_implementations(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(word, str) and device in DEVICES and word in IMPLEMENTATIONS for device, word in value.items()
    )


_RULES: tuple[tuple[tuple[str, ...], str, Callable[[object], bool]], ...] = (
    (("build",), "a function of the shape and the params that returns an nn.Module", callable),
    (_TEXTS, "a text", lambda value: isinstance(value, str)),
    (("causal",), 'True, False or "only"', lambda value: isinstance(value, bool) or value == "only"),
    (_FLAGS, "True or False", lambda value: isinstance(value, bool)),
    (_EXPONENTS, f"a number from 0 to {STEEPEST}, 1.0 for linear growth and 2.0 for quadratic", _is_exponent),
    (_COUNTS, "a whole number of at least 1", _is_count),
    (("needs",), 'a tuple of import names, such as needs=("triton",)', _are_names),
    (("orthogonal_unless",), 'a tuple of names of params, such as orthogonal_unless=("damping",)', _are_names),
    (
        ("reference",),
        "a function of module, q, k, causal, padding_mask and, if needed, hidden, or None",
        lambda value: value is None or callable(value),
    ),
    (
        ("reference_rows",),
        "a function of module, q, k, v, rows, causal, padding_mask and hidden, or None",
        lambda value: value is None or callable(value),
    ),
    (
        ("implementation",),
        f"one of {', '.join(IMPLEMENTATIONS)} for each of {', '.join(DEVICES)}, such as {{'cuda': 'tuned'}}",
        _are_implementations,
    ),
)
