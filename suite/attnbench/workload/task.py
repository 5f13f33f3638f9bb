"""The contract of a task: what it loads, what it measures, and where its data come from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from attnbench.errors import AttnbenchError, BadInput, Unavailable, is_out_of_memory, text_of, unknown_name
from attnbench.workload.data import Parts, Split
from attnbench.workload.faults import fault

KINDS = ("vision", "language", "synthetic")
SOURCES = ("embedded", "generated", "hub")
METRICS = ("accuracy", "bits_per_byte")  # what the trainer can measure; store.metrics says the rest of them
LONGER = (2, 4)  # times the length of training, at which a task may be tested
Value = bool | int | float | str  # of a parameter of a task


@dataclass(frozen=True, kw_only=True)
class Size:
    """Sizes of the model and of its training that suit a task. lr is one of the rates that a preset tries where it tunes them."""

    num_layers: int
    num_heads: int
    head_dim: int
    batch_size: int
    epochs: int
    lr: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "lr" and not _is_count(value):
                raise BadInput(f"{name}={value!r} in a Size is a {type(value).__name__}; give a whole number of at least 1")
        if type(self.lr) not in (int, float) or not 0 < self.lr < math.inf:
            raise BadInput(f"lr={self.lr!r} in a Size is a {type(self.lr).__name__}; give a finite number above 0")


def _is_count(value: object) -> bool:
    """Whether a value is a whole number of at least 1, of Python's own, which a record holds exactly."""
    return type(value) is int and 1 <= value <= 2**53


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task, declared. Its name is the file stem, its summary the first line of the module's docstring.

    kind:     "vision", "language" or "synthetic".
    load:     called as load(); returns Parts, of embedded files or generated from a seed. None where there is only the hub.
    files:    names of the embedded files, which are fingerprinted; none where the data are generated.
    load_hub: called as load_hub(); returns the Parts of the Hugging Face hub, full size. Raises Unavailable when it cannot load them.
    hub:      the name of the data set on the hub.
    metric:   what is measured on the test part: "accuracy" of rows or asked positions, or "bits_per_byte".
    target:   value of the metric on the validation part; the time until it is first reached is measured.
    num_classes: classes of a row; for tokens that are predicted, the size of the vocabulary.
    per_token: whether every position has a target, rather than the row.
    causal:   forms it has, the default first: False, True, or both; True when position i may see only those up to i.
    seq_len:  tokens the model sees; for images (side / patch)^2.
    patch:    side of an image patch in pixels; None for tokens.
    channels: of an image.
    vocabulary: number of distinct tokens; None for images.
    shift:    whether the embedding adds a learned map of the token before, the same for all mechanisms.
    epoch_rows: rows of the training part that an epoch shows; None for all of them. The next epoch goes on with the next rows.
    small, large: sizes for two cores and for one GPU.
    params:   the parameters of its difficulty, with their defaults; none for a task that has one form alone.
    grid:     of each parameter the values that make a difference, the default among them. A run may have others.
    vary:     called with every parameter by name; returns the fields above that differ from the task's own. Raises BadInput for values
              that do not go together. The task's own fields are those of the defaults.
    longer:   called as longer(factor); returns a test part of sequences so many times as long, for training on short ones and testing on
              long ones. None where a longer sequence would be another task.
    recalled: called with the Parts; returns the positions of the test part, [rows, seq_len] bool, whose answer stands in the sequence
              already and is not told by what is frequent. The share of right answers there is retrieval_accuracy, beside the metric.
    """

    kind: str
    metric: str
    target: float
    num_classes: int
    seq_len: int
    citation: str
    licence: str
    small: Size
    large: Size
    load: Callable[[], Parts] | None = None
    files: tuple[str, ...] = ()
    load_hub: Callable[[], Parts] | None = None
    hub: str | None = None
    per_token: bool = False
    causal: tuple[bool, ...] = (False,)
    patch: int | None = None
    channels: int = 1
    vocabulary: int | None = None
    shift: bool = False
    epoch_rows: int | None = None
    params: Mapping[str, Value] = field(default_factory=dict)
    grid: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    vary: Callable[..., Mapping[str, Any]] | None = None
    longer: Callable[[int], Split] | None = None
    recalled: Callable[[Parts], Tensor] | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadInput(f"the task's kind is {self.kind!r}; it must be one of {', '.join(KINDS)}")
        if self.metric not in METRICS:
            raise BadInput(f"the task's metric is {self.metric!r}; the trainer measures {', '.join(METRICS)}")
        if type(self.target) not in (int, float) or not math.isfinite(self.target):
            raise BadInput(f"the task's target is {self.target!r}; give a finite number, which a record can hold")
        for name in ("num_classes", "seq_len", "patch", "channels", "vocabulary", "epoch_rows"):
            value = getattr(self, name)
            if not _is_count(value) and (value is not None or name in ("num_classes", "seq_len", "channels")):
                raise BadInput(f"the task's {name} is {value!r}, a {type(value).__name__}; give a whole number of at least 1")
        if (self.patch is None) == (self.vocabulary is None):
            raise BadInput("a task is of images, with patch=, or of tokens, with vocabulary=; give one of the two")
        if self.load is None and self.load_hub is None:
            raise BadInput("the task has neither load= nor load_hub=; give the function that returns its Parts")
        if (self.load_hub is None) != (self.hub is None):
            raise BadInput("load_hub= and hub=, the name of the data set there, go together; give both or neither")
        if self.metric == "bits_per_byte" and not self.per_token:
            raise BadInput("bits_per_byte is measured over positions; give per_token=True")
        self._check_params()

    def _check_params(self) -> None:
        if bool(self.params) != (self.vary is not None):
            raise BadInput(
                "params=, the parameters of the task's difficulty, and vary=, the function of them, go together; give both or neither"
            )
        if set(self.grid) - set(self.params):
            raise BadInput(f"the task's grid has {', '.join(sorted(set(self.grid) - set(self.params)))}, which is none of its params")
        for name, value in self.params.items():
            if type(value) not in (bool, int, float, str):
                raise BadInput(f"the task's parameter {name} is {value!r}, a {type(value).__name__}; give a number, a text, True or False")
            if name in self.grid and value not in self.grid[name]:
                raise BadInput(f"the task's grid of {name} is {self.grid[name]!r}, without its default {value!r}; give that too")

    def at(self, params: Mapping[str, Any]) -> Task:
        """The task with other values of its parameters; of those that are not given, the defaults.

        Raises BadInput for a parameter that it does not have, or values of another type or that it cannot have.
        """
        for name, value in params.items():
            if name not in self.params:
                known = f"it has {', '.join(self.params) or 'none'}"
                raise unknown_name("parameter of the task", name, self.params, known)
            if type(value) is not type(self.params[name]):
                kind = type(self.params[name]).__name__
                raise BadInput(f"the task's parameter {name} is {value!r}, a {type(value).__name__}; give a {kind}, as its default is")
        if self.vary is None:
            return self
        whole = {**self.params, **params}
        return replace(self, params=whole, grid={}, **self.vary(**whole))

    @property
    def sources(self) -> tuple[str, ...]:
        """Where its data can come from, the default first: "embedded" or "generated", and "hub"."""
        here = () if self.load is None else ("embedded" if self.files else "generated",)
        return (*here, *(("hub",) if self.load_hub else ()))

    def parts(self, source: str, test: bool = True) -> Parts:
        """The data of one of `sources`, checked: shapes, types, and every token and class within its range.

        test: whether the test part is checked too; a run that only tunes leaves it alone.

        Raises Unavailable when the hub does not give them, or not as the task declares them; BadInput where the task's own are not so.
        """
        load = self.load_hub if source == "hub" else self.load
        assert load is not None, source
        of_hub = source == "hub"
        refused, whose = (Unavailable, f"the data of {self.hub} on the hub are") if of_hub else (BadInput, "the task's own data are")
        try:
            parts = load()
        except Exception as error:
            if not of_hub or isinstance(error, AttnbenchError) or is_out_of_memory(error):
                raise
            raise Unavailable(f"{whose} not as the task expects: {type(error).__name__}: {text_of(error)}") from error
        if not isinstance(parts, Parts):
            raise refused(f"{whose} a {type(parts).__name__}; a task must load Parts(train, validation, test)")
        for part in ("train", "validation", "test") if test else ("train", "validation"):
            if why := fault(self, getattr(parts, part)):
                raise refused(f"{whose} not as the task declares them: {part} part, {why}")
        return parts
