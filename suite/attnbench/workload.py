"""The contract of a task: what it loads, what it measures, and where its data come from."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from attnbench.errors import AttnbenchError, BadInput, Unavailable, is_out_of_memory, text_of

KINDS = ("vision", "language", "synthetic")
SOURCES = ("embedded", "generated", "hub")
METRICS = ("accuracy", "bits_per_byte")  # what the trainer can measure; store.metrics says the rest of them
IGNORED = -100  # the target of a position that is not asked; torch's cross-entropy leaves it out


@dataclass(frozen=True)
class Split:
    """One part of a data set, in memory.

    inputs:  images [rows, height, width] or [rows, height, width, channels] uint8, or tokens [rows, seq_len] int64.
    targets: class of every row, [rows] int64; or of every position, [rows, seq_len] int64, IGNORED where nothing is asked.
    padding_mask: [rows, seq_len], True for padding; None when nothing is padded.
    groups:  what no two parts may share (an address, a speaker); None when rows are independent.
    """

    inputs: Tensor
    targets: Tensor
    padding_mask: Tensor | None = None
    groups: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return self.targets.shape[0]

    def to(self, device: str) -> Split:
        """The same split with its tensors on a device."""
        mask = None if self.padding_mask is None else self.padding_mask.to(device)
        return Split(self.inputs.to(device), self.targets.to(device), mask, self.groups)


@dataclass(frozen=True)
class Parts:
    """Training, validation and test data. The test part is read once, after training, and never by a run that only tunes."""

    train: Split
    validation: Split
    test: Split

    def __iter__(self) -> Iterator[Split]:
        return iter((self.train, self.validation, self.test))

    def fingerprint(self) -> str:
        """Hash of every tensor of every part, 16 hex digits: the same for the same data wherever they came from."""
        digest = hashlib.sha256()
        for split in self:
            for tensor in (split.inputs, split.targets, split.padding_mask):
                if tensor is not None:
                    digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
                    digest.update(tensor.contiguous().cpu().numpy().data)
        return digest.hexdigest()[:16]


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
    small, large: sizes for two cores, at most 30 s a run, and for one GPU.
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
            if why := self.fault(getattr(parts, part)):
                raise refused(f"{whose} not as the task declares them: {part} part, {why}")
        return parts

    def fault(self, split: Split) -> str | None:
        """What in a split is not as this task declares it, with the first row where that is so, in words; None where all is."""
        if not (isinstance(split, Split) and isinstance(split.inputs, Tensor) and isinstance(split.targets, Tensor)):
            return f"{type(split).__name__}; expected a Split of tensors"
        rows = split.targets.shape[0] if split.targets.ndim else 0
        if not rows:
            return "no row; expected one at least"
        return self._fault_of_inputs(split, rows) or self._fault_of_targets(split.targets, rows)

    def _fault_of_inputs(self, split: Split, rows: int) -> str | None:
        shape, mask = list(split.inputs.shape), split.padding_mask
        if self.patch is None:
            dtype, fits, expected = torch.int64, shape == [rows, self.seq_len], f"[{rows}, {self.seq_len}]"
        else:
            colours = [] if self.channels == 1 else [self.channels]
            height, width = shape[1:3] if len(shape) == 3 + len(colours) else (0, 0)
            whole = height * width == self.seq_len * self.patch**2 and height % self.patch == width % self.patch == 0
            dtype, fits = torch.uint8, whole and [shape[0], *shape[3:]] == [rows, *colours]
            expected = f"{rows} images of {self.seq_len} patches of {self.patch} x {self.patch} pixels, {self.channels} channels"
        if not fits or split.inputs.dtype != dtype:
            return f"inputs {shape} of {split.inputs.dtype}; expected {expected} of {dtype}"
        if mask is not None and (list(mask.shape) != [rows, self.seq_len] or mask.dtype != torch.bool):
            return f"a padding mask {list(mask.shape)} of {mask.dtype}; expected [{rows}, {self.seq_len}] of torch.bool"
        return None if self.vocabulary is None else _beyond(split.inputs, self.vocabulary, "token")

    def _fault_of_targets(self, targets: Tensor, rows: int) -> str | None:
        expected = [rows, self.seq_len] if self.per_token else [rows]
        if list(targets.shape) != expected or targets.dtype != torch.int64:
            return f"targets {list(targets.shape)} of {targets.dtype}; expected {expected} of torch.int64"
        asked = targets.masked_fill(targets == IGNORED, 0) if self.per_token else targets
        if self.per_token and bool((targets == IGNORED).all()):
            return "no position is asked; expected one at least"
        return _beyond(asked, self.num_classes, "class")


def _beyond(values: Tensor, bound: int, what: str) -> str | None:
    """The first value outside 0 ... bound - 1, with its row, in words; None where there is none."""
    wrong = (values < 0) | (values >= bound)
    if not wrong.any():
        return None
    first = wrong.nonzero()[0]
    return f"row {int(first[0])}: {what} {int(values[tuple(first)])}; expected 0 to {bound - 1}"


def take(split: Split, rows: Tensor) -> Split:
    """The given rows of a split, in that order."""
    mask = None if split.padding_mask is None else split.padding_mask[rows]
    groups = None if split.groups is None else tuple(split.groups[i] for i in rows.tolist())
    return Split(split.inputs[rows], split.targets[rows], mask, groups)


def hold_out(split: Split, fraction: float, seed: int = 0) -> tuple[Split, Split]:
    """Two parts of a split, by a fixed shuffle: the rows that stay, and the `fraction` that is held out. For rows that are independent."""
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    held = round(len(split) * fraction)
    return take(split, order[held:]), take(split, order[:held])


def majority_share(targets: Tensor) -> float:
    """Share of the most frequent class among the targets: the accuracy of a model that always answers it."""
    asked = targets[targets != IGNORED]
    return float(asked.bincount().max()) / asked.numel()


def unigram_bits(targets: Tensor) -> float:
    """Entropy of the targets, in bits each: the bits per byte of a model that knows only how frequent each is."""
    counts = targets[targets != IGNORED].bincount().double()
    share = counts[counts > 0] / counts.sum()
    return float(-(share * share.log()).sum()) / math.log(2)
