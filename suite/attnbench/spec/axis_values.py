"""Which values an axis of a spec may have: what passes is written to JSON and read back as it is, and one cell has one id."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from attnbench.errors import BadInput, unknown_name
from attnbench.spec.plain import UNPRINTABLE, WHOLE, is_name, plain_params, shown

if TYPE_CHECKING:
    from attnbench.spec.axes import Spec

TRACKS = ("kernel", "depth", "task", "step")
MODES = ("forward", "training", "prefill", "decode")
BLOCKS = ("residual", "skipless")
DEVICES = ("cpu", "cuda")
DTYPES = ("float64", "float32", "bfloat16", "float16")
TASK_DTYPES = ("float32", "bfloat16")
POSITIONS = ("learned", "none", "rotary")
EVALUATED = ("test", "validation")
AT_LEAST_ONE = ("batch_size", "num_heads", "num_kv_heads", "head_dim", "seq_len", "num_layers", "epochs", "tuned_epochs", "test_seq_len")

_ALLOWED = {
    "track": TRACKS, "mode": MODES, "block": BLOCKS, "device": DEVICES, "dtype": DTYPES, "positions": POSITIONS, "evaluate": EVALUATED,
}  # fmt: skip
_NAMES = ("variant", "task", "data", "protocol")
_OF_A_PROMPT = {  # modes that only a causal kernel cell has
    "prefill": "the forward pass of a prompt and the decoding state that it leaves",
    "decode": "one token against those before it",
}
_PADDABLE = ("forward", "training")  # modes in which a batch may hold padding
OF_TRAINING = ("protocol", "epochs", "lr", "lr_grid", "tuned_epochs", "weight_decay", "test_seq_len", "evaluate")
_OF_TASK = ("task", "task_params", "data", "positions")
_REQUIRED = {
    "kernel": ("seq_len",),
    "depth": ("seq_len", "block", "num_layers"),
    "task": ("task", "block", "num_layers", "epochs"),
    "step": ("task", "block", "num_layers"),
}
# What a track does not do is refused rather than recorded.
_ABSENT = {
    "kernel": ("block", "num_layers", "token_shift", "init_norm", *_OF_TASK, *OF_TRAINING),
    "depth": ("dtype", "num_kv_heads", "padded", *_OF_TASK, *OF_TRAINING),
    "task": ("mode", "num_kv_heads", "seq_len", "padded"),
    "step": ("mode", "num_kv_heads", "seq_len", "padded", *OF_TRAINING),
}
# Axes that are numbers, with what they must be: a whole number is made a float, as which a record gives it back.
_NUMBERS: dict[str, tuple[str, Any]] = {
    "padded": ("the share of tokens that are padding, from 0 to below 1", lambda value: 0 <= value < 1),
    "init_norm": ("a finite number above 0, a factor on W_Q and W_K", lambda value: 0 < value < float("inf")),
    "weight_decay": ("a finite number of at least 0", lambda value: 0 <= value < float("inf")),
    "lr": ("a finite number above 0", lambda value: 0 < value < float("inf")),
}


def checked(spec: Spec) -> dict[str, Any]:
    """The axes of a spec that are to be written otherwise than they were given, so that equal cells have equal ids.

    Raises BadInput for a value that its axis or its track cannot have.
    """
    _check_choices(spec)
    found = _numbers(spec)
    defaults = {f.name: f.default for f in fields(spec)}
    for name in AT_LEAST_ONE:
        value = getattr(spec, name)
        if (value is not None or defaults[name] is not None) and not (type(value) is int and value >= 1):
            raise BadInput(f"{name} is {shown(value)}; it must be a whole number of at least 1, and at most 2^53")
    found |= _heads(spec)
    found["params"] = plain_params(spec.params, "")
    if spec.task_params is not None:
        found["task_params"] = plain_params(spec.task_params, "the task") or None
    if spec.lr_grid is not None and (type(spec.lr_grid) is not str or UNPRINTABLE.search(spec.lr_grid)):
        raise BadInput(f"lr_grid is {shown(spec.lr_grid)}; give rates with blanks between, such as '0.001 0.003'")
    if spec.tuned_epochs is not None and spec.tuned_epochs == spec.epochs:
        found["tuned_epochs"] = None
    _check_track(spec, {**{name: getattr(spec, name) for name in defaults}, **found}, defaults)
    return found


def _check_choices(spec: Spec) -> None:
    """Raise BadInput for a value that is none of its axis's."""
    for name, allowed in _ALLOWED.items():
        value = getattr(spec, name)
        if value not in allowed and not (value is None and name == "block"):
            raise unknown_name(name, value if isinstance(value, str) else shown(value), allowed, f"see {name} in a spec")
    for name in ("causal", "token_shift"):
        if type(getattr(spec, name)) is not bool:
            raise BadInput(f"{name} is {shown(getattr(spec, name))}; it must be true or false")
    for name in _NAMES:
        value = getattr(spec, name)
        if (value is not None or name in ("variant", "protocol")) and not is_name(value):
            raise BadInput(f"{name} is {shown(value)}; it must be a text of one line, not empty, without control characters")


def _numbers(spec: Spec) -> dict[str, Any]:
    """The numbers that are to be written as floats. Raises BadInput for one that its axis cannot have."""
    if type(spec.seed) is not int or not -WHOLE <= spec.seed < WHOLE:
        raise BadInput(f"seed is {shown(spec.seed)}; it must be a whole number of 64 bits")
    found = {}
    for name, (must_be, holds) in _NUMBERS.items():
        value = given = getattr(spec, name)
        if given is None and name == "lr":
            continue
        if type(given) is int:
            with suppress(OverflowError):
                value = found[name] = float(given)
        if type(value) is not float or not holds(value):
            raise BadInput(f"{name} is {shown(given)}; it must be {must_be}")
    return found


def _heads(spec: Spec) -> dict[str, Any]:
    """As many key-value heads as heads are written as none said. Raises BadInput for a number that does not divide that of the heads."""
    if spec.num_kv_heads == spec.num_heads:
        return {"num_kv_heads": None}
    if spec.num_kv_heads is not None and spec.num_heads % spec.num_kv_heads:
        raise BadInput(f"num_kv_heads is {spec.num_kv_heads}; it must divide num_heads, which is {spec.num_heads}")
    return {}


def _check_track(spec: Spec, axes: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Raise BadInput for an axis that the track needs and lacks, or has and ignores, and for what does not go together."""
    track = spec.track
    for name in _REQUIRED[track]:
        if axes[name] is None:
            raise BadInput(f"a {track} cell needs {name}; give it in the spec")
    for name in _ABSENT[track]:
        if axes[name] != defaults[name]:
            raise BadInput(f"a {track} cell has no {name}, which is {shown(axes[name])}; leave it out")
    if spec.task is not None and spec.dtype not in TASK_DTYPES:
        raise BadInput(f"a {track} cell trains in {' or '.join(TASK_DTYPES)} (mixed precision), and dtype is {spec.dtype!r}")
    if track == "task" and spec.lr is None and spec.lr_grid is None:
        raise BadInput("a task cell needs lr, or lr_grid to choose it from; give one in the spec")
    if axes["tuned_epochs"] is not None and spec.lr_grid is None:
        raise BadInput(f"tuned_epochs is {spec.tuned_epochs}, and lr is given, not chosen; leave it out, or give lr_grid")
    if spec.positions == "rotary" and spec.head_dim % 2:
        raise BadInput(f"rotary positions turn pairs of a head's columns, and head_dim is {spec.head_dim}; give an even head_dim")
    if spec.test_seq_len is not None and spec.positions == "learned":
        raise BadInput("learned positions end where training did; test_seq_len needs positions none or rotary")
    if spec.mode in _OF_A_PROMPT and not (track == "kernel" and spec.causal):
        raise BadInput(f"mode {spec.mode}, {_OF_A_PROMPT[spec.mode]}, is a causal kernel cell's; give track kernel and causal true")
    if spec.padded and spec.mode not in _PADDABLE:
        raise BadInput(f"a cell of mode {spec.mode} has no padding, and padded is {spec.padded:g}; give mode {' or '.join(_PADDABLE)}")
