"""What a spec may hold: values that JSON keeps exactly, so that a record reads back as it was written, and with the same id."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

from attnbench.errors import BadInput

Scalar = bool | int | float | str | None
Param = bool | int | float | str | list[Scalar] | None

WHOLE = 2**63  # parameters and seeds that are whole are below it, in 64 bits
COUNTED = 2**53  # sizes are at most this: a float64, and a browser's script, holds them exactly
ALLOWED = "a number, text, True, False, None, or a list of these, which a record can hold"

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # control characters, ends of lines, half surrogate pairs
_HALF = re.compile(r"[\ud800-\udfff]")


def plain(value: object) -> Param:
    """A parameter's value as JSON holds it: numpy's numbers become Python's, and a tuple becomes a list.

    >>> plain((0.5, 1))
    [0.5, 1]

    Raises ValueError, which says why, for a value that JSON cannot hold exactly.
    """
    if type(value) in (list, tuple):
        return [_scalar(item) for item in value]  # type: ignore[attr-defined]
    return _scalar(value)


def plain_params(params: object, of: str) -> dict[str, Param]:
    """The parameters of a mechanism as JSON holds them, see `plain`. of: the mechanism's name for messages, or empty.

    Raises BadInput for one whose name or value a record cannot hold exactly.
    """
    whose = f" of {of}" if of else ""
    if not isinstance(params, Mapping):
        raise BadInput(f"the parameters{whose} are {shown(params)}; give a dict of names and values")
    found: dict[str, Param] = {}
    for name, value in params.items():
        if not is_name(name):
            raise BadInput(f"a parameter{whose} is called {shown(name)}; give it a name that is a text of one line")
        try:
            found[name] = plain(value)
        except ValueError as error:
            raise BadInput(
                f"parameter {name!r}{whose} is {shown(value)} ({error}); give {ALLOWED}, and make the rest of it in build"
            ) from None
    return found


def _scalar(value: object) -> Scalar:
    value = _of_numpy(value)
    if value is None or type(value) is bool:
        return value
    if type(value) is int:
        if not -WHOLE <= value < WHOLE:
            raise ValueError("it needs more than 64 bits")
        return value
    if type(value) is float:
        if not abs(value) < float("inf"):
            raise ValueError("it is not finite")
        return value
    if type(value) is str:
        if _HALF.search(value):
            raise ValueError("it holds half a surrogate pair")
        return value
    raise ValueError(f"it is a {type(value).__name__}")


def _of_numpy(value: object) -> object:
    """A number or text of numpy's as Python's own, if that has the same value; anything else as it is."""
    numpy: Any = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.generic):
        return value
    dtype: Any = value.dtype
    exact = dtype.kind in "biuU" or (dtype.kind == "f" and dtype.itemsize <= 8)
    return value.item() if exact else value


def is_name(value: object) -> bool:
    """Whether a value is a text that can be shown in one line."""
    return type(value) is str and bool(value.strip()) and not UNPRINTABLE.search(value)


def shown(value: object) -> str:
    """A value as an error message shows it: short, whatever it is."""
    try:
        text = repr(value)
    except Exception as error:  # a repr of somebody's, or a number of thousands of digits
        text = f"a {type(value).__name__} whose repr raises {type(error).__name__}"
    return text if len(text) <= 120 else f"{text[:100]}... ({len(text):,} characters)"
