"""The spec of a cell: every axis of what it runs, fixed before anything is measured."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from attnbench.spec.axis_values import AT_LEAST_ONE, checked
from attnbench.spec.plain import COUNTED, Param, shown


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
    the one before it, and a factor on W_Q and W_K at the start. positions: how a task's model knows where a token stands, "learned" for a
    table of as many as the task has tokens, "rotary" for turns of queries and keys by their places, "none" for not at all.
    task_params: the parameters of a task's difficulty that are not its defaults; None where all are. test_seq_len: the longest sequence on
    which the model is tested besides those that it was trained on, for positions that allow it: their doublings up to this length.
    protocol: the name of how it is trained and tuned, see protocol.py; weight_decay: of the matrices.
    Axes that a track does not have are None. `d_model` is `num_heads * head_dim`. `data` names the source and fingerprint of a
    task's data ("embedded:1a2b3c4d"); `params` holds the variant's parameters, defaults included once the spec is resolved. For a task
    dtype "bfloat16" is mixed precision: weights and the optimiser stay in float32.

    lr_grid names the rates among which lr is chosen on the validation part ("0.001 0.003"); until it is chosen, lr is None (tuning.py).
    tuned_epochs: the epochs of the trials by which it is chosen, where those are not its own: the rate of a task's budget is also that of
    runs of a part and of twice of it.
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
    positions: str = "learned"
    task: str | None = None
    task_params: Mapping[str, Param] | None = None
    data: str | None = None
    protocol: str = "2026-11"
    epochs: int | None = None
    lr: float | None = None
    lr_grid: str | None = None
    tuned_epochs: int | None = None
    weight_decay: float = 0.05
    test_seq_len: int | None = None
    seed: int = 0
    evaluate: str = "test"

    def __post_init__(self) -> None:
        # Nothing else is set: msgspec writes what was set, and the record of an older schema is written again without the axes it lacks.
        for name, value in checked(self).items():
            object.__setattr__(self, name, value)

    def too_large(self) -> str | None:
        """Why no record can have this spec: a size that neither a float64 nor a browser holds exactly; None if it can."""
        for name in AT_LEAST_ONE:
            if (getattr(self, name) or 0) > COUNTED:
                return f"{name} is {shown(getattr(self, name))}; it must be a whole number of at least 1, and at most 2^53"
        return f"num_heads * head_dim is {self.d_model}; it can be 2^53 at most" if self.d_model > COUNTED else None

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
        task_params = None if self.task_params is None else dict(self.task_params)
        return {**{name: getattr(self, name) for name in _DEFAULTS}, "params": dict(self.params), "task_params": task_params}

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
        return [
            *(["token_shift"] if self.token_shift else []),
            *([f"init_norm {self.init_norm:g}"] if self.init_norm != _DEFAULTS["init_norm"] else []),
            *([f"positions {self.positions}"] if self.positions != _DEFAULTS["positions"] else []),
            *([f"weight_decay {self.weight_decay:g}"] if self.weight_decay != _DEFAULTS["weight_decay"] else []),
        ]

    @property
    def difficulty(self) -> str | None:
        """The parameters of the task's difficulty that are not its defaults, as text: "pairs 16"; None where all are."""
        return ", ".join(f"{name} {value}" for name, value in sorted((self.task_params or {}).items())) or None

    def task_label(self) -> str:
        """The task in words: "mqar, pairs 16"."""
        return ", ".join(filter(None, (self.task, self.difficulty)))

    def label(self) -> str:
        """A short name for progress lines and tables."""
        parts: list[object] = [self.track, self.variant]
        if self.track == "task":
            rate = "" if self.lr is None else f"lr {self.lr:g}"
            parts += [self.task_label(), *(["causal"] if self.causal else []), self.block, self.depth_label(), *self.options()]
            again = f", seed {self.seed}" if self.protocol != _DEFAULTS["protocol"] else ""
            parts += [f"tuning, {rate}{again}"] if self.evaluate == "validation" else [f"seed {self.seed}"]
        elif self.track == "step":
            parts += [self.task_label(), *(["causal"] if self.causal else []), self.block, self.depth_label(), *self.options()]
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


_DEFAULTS = {f.name: f.default for f in dataclasses.fields(Spec)}
