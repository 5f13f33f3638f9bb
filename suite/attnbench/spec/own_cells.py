"""Cells of a user's own shape: the product of the axes of the kernel track that are given as flags."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attnbench.errors import BadInput
from attnbench.spec.axes import Spec
from attnbench.spec.plain import shown

BASELINE = "softmax"  # is measured in every shape, for ratios are over its own cells
MOST_PROCESSES = 1000  # far more than any interval needs
_CAUSAL_MODES = ("prefill", "decode")
_WHOLE, _SHARE = re.compile(r"-?\d{1,19}"), re.compile(r"-?\d*\.?\d+")

# What the flag of an axis takes, and how a value is read from its text. Which values are allowed, the spec says.
_READ: dict[str, tuple[str, re.Pattern[str], Callable[[str], Any]]] = {
    "seed": ("whole numbers", _WHOLE, int),
    "processes": ("a whole number", _WHOLE, int),
    "dtype": ("names of dtypes", re.compile(r".+"), str),
    "causal": ("true or false", re.compile("true|false"), lambda text: text == "true"),
    "padded": ("shares from 0 to below 1", _SHARE, float),
    "head_dim": ("whole numbers", _WHOLE, int),
    "num_heads": ("whole numbers", _WHOLE, int),
    "num_kv_heads": ("whole numbers", _WHOLE, int),
    "batch_size": ("whole numbers", _WHOLE, int),
    "mode": ("names of modes", re.compile(r".+"), str),
    "seq_len": ("whole numbers", _WHOLE, int),
}
AXES = tuple(_READ)  # the axes that have a flag; those to the left vary slowest


def own_specs(given: Mapping[str, Sequence[str]], variants: Sequence[str], device: str) -> list[Spec]:
    """Every cell of the product of the given axes, by process and then by cost, and that of softmax before those of a shape.

    given: the texts of the flags, by axis; a text may hold several values with commas between. Without a mode, forward and training are
    meant; prefill and decode are causal where nothing is said.

    >>> [spec.label() for spec in own_specs({"seq_len": ["3000"], "mode": ["forward"]}, ["mine"], "cpu")]
    ['kernel · softmax · seq_len 3,000 · forward', 'kernel · mine · seq_len 3,000 · forward']

    Raises BadInput for a text that is no value of its axis, for a combination that there is not, and without seq_len.
    """
    values = {axis: _values(axis, given[axis]) for axis in AXES if given.get(axis)}
    if "seq_len" not in values:
        raise BadInput(f"{_flag(next(iter(values)))} asks for cells of a shape of your own, which needs a length; give --seq-len too")
    if "processes" in values:
        if "seed" in values or len(values["processes"]) > 1 or not 1 <= values["processes"][0] <= MOST_PROCESSES:
            raise BadInput(f"--processes is one whole number, 1 to {MOST_PROCESSES:,}, in place of --seed: process 0 has seed 0, and so on")
        values["seed"] = list(range(values.pop("processes")[0]))
    values.setdefault("mode", ["forward", "training"])
    ordered = {axis: values[axis] for axis in AXES if axis in values}
    names = list(dict.fromkeys((BASELINE, *variants)))
    specs = [
        Spec(track="kernel", variant=name, device=device, **_completed(dict(zip(ordered, chosen, strict=True))))
        for chosen in itertools.product(*ordered.values())
        for name in names
    ]
    for spec in specs:
        if why := spec.too_large():
            raise BadInput(why)
    return specs


def _completed(axes: dict[str, Any]) -> dict[str, Any]:
    return {"causal": axes["mode"] in _CAUSAL_MODES, **axes}


def _values(axis: str, texts: Sequence[str]) -> list[Any]:
    """The values of an axis, each once. Raises BadInput for a text that is none."""
    takes, form, read = _READ[axis]
    found = [part.strip() for text in texts for part in text.split(",")]
    for part in found:
        if not form.fullmatch(part):
            raise BadInput(f"{_flag(axis)} is {shown(','.join(texts))}; give {takes}, several with commas between or by repeating the flag")
    return list(dict.fromkeys(map(read, found)))


def _flag(axis: str) -> str:
    return f"--{axis.replace('_', '-')}"
