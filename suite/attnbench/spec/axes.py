"""The spec of a cell: every axis of what it runs, fixed before anything is measured."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from attnbench.errors import BadInput, unknown_name
from attnbench.spec.plain import COUNTED, UNPRINTABLE, WHOLE, Param, is_name, plain_params, shown

TRACKS = ("kernel", "depth", "task", "step")
MODES = ("forward", "training", "prefill", "decode")
BLOCKS = ("residual", "skipless")
DEVICES = ("cpu", "cuda")
DTYPES = ("float64", "float32", "bfloat16", "float16")
TASK_DTYPES = ("float32", "bfloat16")
EVALUATED = ("test", "validation")

_ALLOWED = {"track": TRACKS, "mode": MODES, "block": BLOCKS, "device": DEVICES, "dtype": DTYPES, "evaluate": EVALUATED}
_AT_LEAST_ONE = ("batch_size", "num_heads", "num_kv_heads", "head_dim", "seq_len", "num_layers", "epochs")
_NAMES = ("variant", "task", "data")
_OF_A_PROMPT = {  # modes that only a causal kernel cell has
    "prefill": "the forward pass of a prompt and the decoding state that it leaves",
    "decode": "one token against those before it",
}
_PADDABLE = ("forward", "training")  # modes in which a batch may hold padding


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One cell of the benchmark: a mechanism, its shape, and what is done with it.

    mode: "forward", "training" (forward and backward), "prefill" (the causal forward pass of a prompt of seq_len tokens, and the decoding
    state that it leaves), or "decode" (one token against the state that seq_len - 1 before it left).
    A task cell trains a model, for what it learns; a step cell times one training step of that model, alone.
    num_kv_heads: heads of a kernel cell's keys and values, which groups of its num_heads heads of queries share; None for as many as heads.
    padded: the share of a kernel cell's tokens that are padding, see `lengths`. seed: it draws the inputs; except of a task
    cell, another seed is the same cell in another process.
    token_shift, init_norm: options of the model of a cell that has one, for any mechanism: whether a layer projects each token mixed with
    the one before it, and a factor on W_Q and W_K at the start.
    Axes that a track does not have are None. `d_model` is `num_heads * head_dim`. `data` names the source and fingerprint of a
    task's data ("embedded:1a2b3c4d"); `params` holds the variant's parameters, defaults included once the spec is resolved. For a task
    dtype "bfloat16" is mixed precision: weights and the optimiser stay in float32.

    lr_grid names the rates among which lr is chosen on the validation part ("0.001 0.003"); until it is chosen, lr is None (tuning.py).
    evaluate: the part that is measured after training; a run that only tunes never reads the "test" part.

    Raises BadInput when a value is not allowed.
    """

    track: str
    variant: str
    params: Mapping[str, Param] = field(default_factory=dict)
    device: str = "cpu"
    dtype: str = "float32"
    mode: str = "training"
    causal: bool = False
    batch_size: int = 1
    num_heads: int = 4
    num_kv_heads: int | None = None
    head_dim: int = 64
    seq_len: int | None = None
    padded: float = 0.0
    block: str | None = None
    num_layers: int | None = None
    token_shift: bool = False
    init_norm: float = 1.0
    task: str | None = None
    data: str | None = None
    epochs: int | None = None
    lr: float | None = None
    lr_grid: str | None = None
    seed: int = 0
    evaluate: str = "test"

    def __post_init__(self) -> None:
        self._check_values()
        for name in _REQUIRED[self.track]:
            if getattr(self, name) is None:
                raise BadInput(f"a {self.track} cell needs {name}; give it in the spec")
        for name in _ABSENT[self.track]:
            if getattr(self, name) != _DEFAULTS[name]:
                raise BadInput(f"a {self.track} cell has no {name}, which is {shown(getattr(self, name))}; leave it out")
        if self.task is not None and self.dtype not in TASK_DTYPES:
            raise BadInput(f"a {self.track} cell trains in {' or '.join(TASK_DTYPES)} (mixed precision), and dtype is {self.dtype!r}")
        if self.track == "task":
            self._check_rate()
        if self.mode in _OF_A_PROMPT and not (self.track == "kernel" and self.causal):
            raise BadInput(f"mode {self.mode}, {_OF_A_PROMPT[self.mode]}, is a causal kernel cell's; give track kernel and causal true")
        if self.padded and self.mode not in _PADDABLE:
            raise BadInput(f"a cell of mode {self.mode} has no padding, and padded is {self.padded:g}; give mode {' or '.join(_PADDABLE)}")

    def _check_values(self) -> None:
        """Check each axis by itself: what passes is written to JSON and read back as it is."""
        for name, allowed in _ALLOWED.items():
            value = getattr(self, name)
            if value not in allowed and not (value is None and name == "block"):
                raise unknown_name(name, value if isinstance(value, str) else shown(value), allowed, f"see {name} in a spec")
        for name in _AT_LEAST_ONE:
            value = getattr(self, name)
            if (value is not None or _DEFAULTS[name] is not None) and not (type(value) is int and value >= 1):
                raise BadInput(f"{name} is {shown(value)}; it must be a whole number of at least 1, and at most 2^53")
        if self.num_kv_heads == self.num_heads:
            object.__setattr__(self, "num_kv_heads", None)  # one cell has one id
        if self.num_kv_heads is not None and self.num_heads % self.num_kv_heads:
            raise BadInput(f"num_kv_heads is {self.num_kv_heads}; it must divide num_heads, which is {self.num_heads}")
        if type(self.seed) is not int or not -WHOLE <= self.seed < WHOLE:
            raise BadInput(f"seed is {shown(self.seed)}; it must be a whole number of 64 bits")
        self._make_float("padded")
        if type(self.padded) is not float or not 0 <= self.padded < 1:
            raise BadInput(f"padded is {shown(self.padded)}; it must be the share of tokens that are padding, from 0 to below 1")
        self._make_float("init_norm")
        if type(self.init_norm) is not float or not 0 < self.init_norm < float("inf"):
            raise BadInput(f"init_norm is {shown(self.init_norm)}; it must be a finite number above 0, a factor on W_Q and W_K")
        for name in ("causal", "token_shift"):
            if type(getattr(self, name)) is not bool:
                raise BadInput(f"{name} is {shown(getattr(self, name))}; it must be true or false")
        for name in _NAMES:
            value = getattr(self, name)
            if (value is not None or name == "variant") and not is_name(value):
                raise BadInput(f"{name} is {shown(value)}; it must be a text of one line, not empty, without control characters")
        if self.lr_grid is not None and (type(self.lr_grid) is not str or UNPRINTABLE.search(self.lr_grid)):
            raise BadInput(f"lr_grid is {shown(self.lr_grid)}; give rates with blanks between, such as '0.001 0.003'")
        object.__setattr__(self, "params", plain_params(self.params, ""))

    def _make_float(self, name: str) -> None:
        """Make a whole number the float that a record gives back, if one can hold it.

        Nothing else is set: msgspec writes what was set, and the record of an older schema is written again without this axis.
        """
        value = getattr(self, name)
        if type(value) is int:
            with suppress(OverflowError):
                object.__setattr__(self, name, float(value))

    def too_large(self) -> str | None:
        """Why no record can have this spec: a size that neither a float64 nor a browser holds exactly; None if it can."""
        for name in _AT_LEAST_ONE:
            if (getattr(self, name) or 0) > COUNTED:
                return f"{name} is {shown(getattr(self, name))}; it must be a whole number of at least 1, and at most 2^53"
        return f"num_heads * head_dim is {self.d_model}; it can be 2^53 at most" if self.d_model > COUNTED else None

    def _check_rate(self) -> None:
        if self.lr is None and self.lr_grid is None:
            raise BadInput("a task cell needs lr, or lr_grid to choose it from; give one in the spec")
        if self.lr is not None:
            self._make_float("lr")
            if type(self.lr) is not float or not 0 < self.lr < float("inf"):
                raise BadInput(f"lr is {shown(self.lr)}; it must be a finite number above 0")

    @property
    def d_model(self) -> int:
        """Width of the model, num_heads * head_dim."""
        return self.num_heads * self.head_dim

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.num_heads if self.num_kv_heads is None else self.num_kv_heads

    def lengths(self) -> tuple[int, ...]:
        """Tokens of each sequence that are no padding, at least one; padding is to their right.

        The padding of the sequences of a batch grows evenly from none to twice the share that is padded; a single one has the share itself.

        >>> Spec(track="kernel", variant="softmax", seq_len=90, batch_size=3, padded=0.3).lengths()
        (90, 63, 36)
        """
        assert self.seq_len is not None
        last = self.batch_size - 1
        shares = [2 * self.padded * i / last for i in range(self.batch_size)] if last else [self.padded]
        return tuple(max(1, self.seq_len - round(share * self.seq_len)) for share in shares)

    @property
    def is_timed(self) -> bool:
        """Whether the cell's times count, for which it needs its machine to itself; of a training run the accuracy does."""
        return self.track != "task"

    def axes(self) -> dict[str, Any]:
        """Every axis by name, as plain JSON values."""
        return {**dataclasses.asdict(self), "params": dict(self.params)}

    def chosen(self) -> dict[str, Any]:
        """The axes that differ from their defaults; a default may therefore never change."""
        return {name: value for name, value in self.axes().items() if value != _DEFAULTS[name] and value != {}}

    def key(self) -> str:
        """The cell's id: 16 hex digits of the SHA-256 of the chosen axes, so that an axis added later leaves ids as they are."""
        canonical = json.dumps(self.chosen(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def depth_label(self) -> str:
        """num_layers in words."""
        return f"{self.num_layers} layer{'' if self.num_layers == 1 else 's'}"

    def heads_label(self) -> str:
        """The heads in words: "32 heads of 128, 8 key-value heads"; the latter are named where they are fewer."""
        return ", ".join(filter(None, (f"{self.num_heads} heads of {self.head_dim}", self.kv_heads_label())))

    def kv_heads_label(self) -> str:
        """The heads of keys and values in words; "" where there are as many as heads."""
        return "" if self.num_kv_heads is None else f"{self.num_kv_heads} key-value head{'' if self.num_kv_heads == 1 else 's'}"

    def options(self) -> list[str]:
        """What a model has beside its stack, in words, as far as it is not the default."""
        return [*(["token_shift"] if self.token_shift else []), *([f"init_norm {self.init_norm:g}"] if self.init_norm != 1 else [])]

    def label(self) -> str:
        """A short name for progress lines and tables."""
        parts: list[object] = [self.track, self.variant]
        if self.track == "task":
            rate = "" if self.lr is None else f"lr {self.lr:g}"
            parts += [self.task, *(["causal"] if self.causal else []), self.block, self.depth_label(), *self.options()]
            parts += [f"tuning, {rate}"] if self.evaluate == "validation" else [f"seed {self.seed}"]
        elif self.track == "step":
            parts += [self.task, *(["causal"] if self.causal else []), self.block, self.depth_label(), *self.options()]
        elif self.track == "depth":
            parts += [self.block, self.depth_label(), *self.options(), self.mode, *(["causal"] if self.causal else [])]
        else:
            parts += [f"seq_len {self.seq_len:,}", self.mode, *(["causal"] if self.causal else []), *self._shape_label()]
        if self.track != "task" and self.seed:
            parts.append(f"seed {self.seed}")
        return " · ".join(str(part) for part in parts)

    def _shape_label(self) -> list[str]:
        """What a kernel cell's shape has beside its length, in words, as far as it is not the default."""
        usual = f"{_DEFAULTS['num_heads']} heads of {_DEFAULTS['head_dim']}"
        return [
            *([f"batch {self.batch_size}"] if self.batch_size != _DEFAULTS["batch_size"] else []),
            *([f"{self.padded:.3g} padded"] if self.padded else []),
            *([self.heads_label()] if self.heads_label() != usual else []),
            *([self.dtype] if self.dtype != _DEFAULTS["dtype"] else []),
        ]

    def compact(self) -> str:
        """The axes that differ from their defaults, as JSON: what `attnbench run --cell` takes."""
        return json.dumps(self.chosen(), separators=(",", ":"))


_REQUIRED = {
    "kernel": ("seq_len",),
    "depth": ("seq_len", "block", "num_layers"),
    "task": ("task", "block", "num_layers", "epochs"),
    "step": ("task", "block", "num_layers"),
}
# What a track does not do is refused rather than recorded.
_ABSENT = {
    "kernel": ("block", "num_layers", "token_shift", "init_norm", "task", "data", "epochs", "lr", "lr_grid", "evaluate"),
    "depth": ("dtype", "num_kv_heads", "padded", "task", "data", "epochs", "lr", "lr_grid", "evaluate"),
    "task": ("mode", "num_kv_heads", "seq_len", "padded"),
    "step": ("mode", "num_kv_heads", "seq_len", "padded", "epochs", "lr", "lr_grid", "evaluate"),
}
_DEFAULTS = {f.name: f.default for f in dataclasses.fields(Spec)}
