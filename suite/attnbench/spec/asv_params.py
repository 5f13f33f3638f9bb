"""Converts a cell to the values of asv's parameters and back; the last of them, the setting, is a text of all axes that the others lack.

asv identifies a benchmark's cell by the values of its parameters alone. Both directions use the same tables, so that one reads what the
other writes.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from attnbench.errors import BadInput
from attnbench.spec.axes import Spec
from attnbench.spec.plain import Param, plain
from attnbench.spec.protocol import FIRST

# The axes that asv shows as parameters of their own, by track.
AXES = {
    "kernel": ("variant", "mode", "causal", "seq_len"),
    "depth": ("variant", "block", "num_layers"),
    "task": ("variant", "task", "block", "num_layers", "seed"),
    "step": ("variant", "task", "block", "num_layers"),
}
SETTING = "setting"  # the name of asv's last parameter: it tells cells of two presets apart

Values = tuple[Any, ...]

# How the value of an axis may look in the setting. Texts of names and rates hold no comma.
_FLOAT = "[^, ]+"
_NAME = r"\w+"
_VALUES = {
    **{
        "device": _NAME,
        "dtype": _NAME,
        "mode": _NAME,
        "positions": _NAME,
        "evaluate": _NAME,
        "lr_grid": "[^,]+",
        "protocol": "[^,]+",
        "seed": r"-?\d+",
    },
    **dict.fromkeys(("lr", "padded", "init_norm", "weight_decay"), _FLOAT),
}
_WHOLE = r"\d+"


@dataclass(frozen=True)
class _Part:
    """A piece of the setting: a text with axes in braces. stands: whether the setting of a spec has this piece; None for always."""

    text: str
    stands: Callable[[Spec], bool] | None = None

    def pattern(self) -> str:
        """A regular expression with a group for every axis; a part without an axis is a group of its own name."""
        found = re.sub(r"\{(\w+)\}", lambda axis: f"(?P<{axis[1]}>{_VALUES.get(axis[1], _WHOLE)})", self.text)
        found = found if "{" in self.text else f"(?P<{self.text}>{self.text})"
        return f", {found}" if self.stands is None else f"(?:, {found})?"


_SHAPE = (_Part("{device}"), _Part("{dtype}"), _Part("batch {batch_size}"), _Part("{num_heads} heads of {head_dim}"))
_SEED = _Part("seed {seed}", lambda spec: spec.seed != 0)
_GROUPED = _Part("{num_kv_heads} key-value heads", lambda spec: spec.num_kv_heads is not None)
_PADDED = _Part("{padded} padded", lambda spec: spec.padded != 0)
_CAUSAL = _Part("causal", lambda spec: spec.causal)
_OPTIONS = (
    _Part("token_shift", lambda spec: spec.token_shift),
    _Part("W_Q and W_K times {init_norm}", lambda spec: spec.init_norm != 1),
)
_POSITIONS = _Part("positions {positions}", lambda spec: spec.positions != "learned")
_TRAINING = (
    _Part("weight_decay {weight_decay}", lambda spec: spec.weight_decay != 0.05),
    _Part("tested up to {test_seq_len}", lambda spec: spec.test_seq_len is not None),
    _Part("protocol {protocol}", lambda spec: spec.protocol != FIRST.name),
    _Part("judged on the {evaluate} part", lambda spec: spec.evaluate != "test"),
)
_SETTINGS: dict[str, tuple[_Part, ...]] = {
    "kernel": (*_SHAPE, _GROUPED, _PADDED, _SEED),
    "depth": (*_SHAPE, _Part("seq_len {seq_len}"), _Part("{mode}"), _CAUSAL, *_OPTIONS, _SEED),
    "task": (
        *_SHAPE,
        _Part("{epochs} epochs"),
        _Part("lr of {lr_grid}", lambda spec: bool(spec.lr_grid)),
        _Part("tuned at {tuned_epochs} epochs", lambda spec: spec.tuned_epochs is not None),
        _Part("lr {lr}", lambda spec: not spec.lr_grid),
        _CAUSAL,
        *_OPTIONS,
        _POSITIONS,
        *_TRAINING,
    ),
    "step": (*_SHAPE, _CAUSAL, *_OPTIONS, _POSITIONS, _SEED),
}
_PATTERNS = {track: re.compile("".join(part.pattern() for part in parts) + "(?P<params>.*)", re.S) for track, parts in _SETTINGS.items()}

_BARE = re.compile(r"""[^\s,'"\[\]][^,'"\[\]\n]*(?<!\s)|""")  # a text that needs no quotes
_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_OF_TASK = "task."  # before the parameters of a task
_PARAM = re.compile(rf""", ((?:task\.)?\w+) (\[(?:[^\]'"]|{_QUOTED})*\]|{_QUOTED}|[^,'"\[\]\n]*)""")


def values_of(spec: Spec) -> Values:
    """A cell's values of asv's parameters, in the order of AXES and then the setting.

    The setting leaves out the data and, where it has a grid of learning rates, which one was chosen.

    >>> values_of(Spec(track="kernel", variant="polynomial", mode="forward", seq_len=256, params={"degree": 2}))
    ('polynomial', 'forward', False, 256, 'cpu, float32, batch 1, 4 heads of 64, degree 2')
    """
    said = [part.text.format_map(spec.axes()) for part in _SETTINGS[spec.track] if part.stands is None or part.stands(spec)]
    said += [f"{name} {_written(value)}" for name, value in sorted(spec.params.items())]
    said += [f"{_OF_TASK}{name} {_written(value)}" for name, value in sorted((spec.task_params or {}).items())]
    return (*(getattr(spec, axis) for axis in AXES[spec.track]), ", ".join(said))


def spec_of(track: str, values: Sequence[Any]) -> Spec | None:
    """The cell that has these values of asv's parameters; None when no cell of the track has them.

    >>> spec = spec_of("kernel", ("softmax", "forward", True, 256, "cpu, float32, batch 1, 4 heads of 64, seed 2"))
    >>> spec.compact()
    '{"track":"kernel","variant":"softmax","mode":"forward","causal":true,"seq_len":256,"seed":2}'
    """
    import msgspec  # not at the top: what measures must run where msgspec is not installed

    if len(values) != len(AXES[track]) + 1 or not isinstance(values[-1], str):
        return None
    found = _PATTERNS[track].fullmatch(f", {values[-1]}")
    if found is None:
        return None
    axes: dict[str, Any] = {name: text for name, text in found.groupdict().items() if text is not None}
    pairs = _PARAM.findall(given := axes.pop("params"))
    if "".join(f", {name} {text}" for name, text in pairs) != given:
        return None
    axes |= {name: "true" for name in ("causal", "token_shift") if name in axes}
    try:
        # Not strict, for the setting's numbers are texts.
        shown = dict(zip(AXES[track], values, strict=False))
        spec = msgspec.convert({"track": track, **shown, **axes}, Spec, strict=False)
        given_params = {name: _read(text) for name, text in pairs}
        of_task = {name.removeprefix(_OF_TASK): value for name, value in given_params.items() if name.startswith(_OF_TASK)}
        params = {name: value for name, value in given_params.items() if not name.startswith(_OF_TASK)}
        spec = dataclasses.replace(spec, params=params, task_params=of_task or None)
        return None if spec.too_large() else spec
    except (BadInput, msgspec.ValidationError):
        return None


def _written(value: Param) -> str:
    """A parameter's value as text: texts as they are where they cannot be taken for something else, else in quotes."""
    if isinstance(value, str) and not (_BARE.fullmatch(value) and _read(value) == value):
        return repr(value)
    return str(value)


def _read(text: str) -> Param:
    """The value that `_written` wrote."""
    try:
        return plain(ast.literal_eval(text))
    except (SyntaxError, TypeError, ValueError, MemoryError, RecursionError):  # a text, or what no parameter is
        return text
