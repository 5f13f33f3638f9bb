"""Reads a cell from the text that `attnbench run --cell` takes."""

from __future__ import annotations

import dataclasses
import json

from attnbench.errors import BadInput, unknown_name
from attnbench.spec.axes import Spec


def parse(text: str) -> Spec:
    """The spec that `Spec.compact` wrote.

    Raises BadInput when the text is not JSON or names an axis that does not exist.
    """
    try:
        axes = json.loads(text)
    except (ValueError, RecursionError) as error:  # no JSON, a number of thousands of digits, or thousands of brackets
        raise BadInput(f"the cell is not JSON ({error}); copy the whole command from the record") from error
    if not isinstance(axes, dict):
        raise BadInput(f'the cell is a JSON {type(axes).__name__}; it must be an object such as {{"track":"kernel", ...}}')
    known = {f.name for f in dataclasses.fields(Spec)}
    for name in axes:
        if name not in known:
            raise unknown_name("axis", name, known, "copy the command from the record")
    missing = {"track", "variant"} - axes.keys()
    if missing:
        raise BadInput(f"the cell lacks {', '.join(sorted(missing))}; give both track and variant")
    import msgspec  # not at the top: what measures must run where msgspec is not installed

    try:
        spec = msgspec.convert(axes, Spec)
    except msgspec.ValidationError as error:
        raise BadInput(f"the cell does not fit: {error}; copy the whole command from the record") from error
    if why := spec.too_large():
        raise BadInput(f"the cell does not fit: {why}")
    return spec
