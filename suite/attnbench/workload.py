"""The contract of a task: what it loads, what it measures, and where its data come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from attnbench.errors import BadInput

if TYPE_CHECKING:
    import datasets

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Split:
    """One part of a data set, in memory.

    inputs:  images [rows, height, width] uint8, or tokens [rows, seq_len] int64.
    targets: class of every row, [rows] int64.
    padding_mask: [rows, seq_len], True for padding; None when nothing is padded.
    groups:  what no two parts may share (an address, a speaker); None when rows are independent.
    """

    inputs: Tensor
    targets: Tensor
    padding_mask: Tensor | None = None
    groups: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return self.targets.shape[0]


@dataclass(frozen=True)
class Parts:
    """Training, validation and test data. The test part is read once, after training."""

    train: Split
    validation: Split
    test: Split


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task, declared. Its name is the file stem, its summary the first line of the module's docstring.

    load:     called as load() for the embedded data; returns Parts.
    files:    names of the embedded files, which are fingerprinted.
    kind:     "image" or "tokens".
    metric:   what is measured on the test part; `higher_is_better` its direction.
    seq_len:  tokens the model sees; for images (side / patch)^2.
    patch:    side of an image patch in pixels; None for tokens.
    vocabulary: number of distinct tokens; None for images.
    """

    load: Callable[[], Parts]
    files: tuple[str, ...]
    kind: str
    metric: str
    higher_is_better: bool
    num_classes: int
    seq_len: int
    citation: str
    licence: str
    patch: int | None = None
    vocabulary: int | None = None

    def __post_init__(self) -> None:
        if self.metric != "accuracy":
            raise BadInput(f"the task's metric is {self.metric!r}; the training engine measures 'accuracy' alone so far")


def embedded(file: str) -> datasets.Dataset:
    """An embedded parquet file as a data set whose columns read as numpy arrays.

    The Arrow cache that `datasets` makes is kept beside its other caches, keyed by the file's content.
    """
    import datasets

    datasets.disable_progress_bars()
    loaded: Any = datasets.load_dataset("parquet", data_files=str(DATA / file), split="train")
    return loaded


@cache
def images(file: str, side: int) -> tuple[Tensor, Tensor]:
    """Images [rows, side, side] uint8 and labels [rows] int64 of an embedded file with columns `image` and `label`."""
    import numpy as np

    rows = embedded(file)
    pixels = rows.select_columns("image").with_format("numpy", dtype=np.uint8)[:]["image"]  # else images turn int64
    labels = rows.select_columns("label").with_format("numpy", dtype=np.int64)[:]["label"]
    return torch.from_numpy(np.array(pixels)).view(-1, side, side), torch.from_numpy(np.array(labels))


def take(split: Split, rows: Tensor) -> Split:
    """The given rows of a split, in that order."""
    mask = None if split.padding_mask is None else split.padding_mask[rows]
    groups = None if split.groups is None else tuple(split.groups[i] for i in rows.tolist())
    return Split(split.inputs[rows], split.targets[rows], mask, groups)


def hold_out(split: Split, fraction: float, seed: int = 0) -> tuple[Split, Split]:
    """A split in two by a fixed shuffle: the larger part, and `fraction` of the rows. For rows that are independent."""
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    held = round(len(split) * fraction)
    return take(split, order[held:]), take(split, order[:held])


def majority_share(targets: Tensor) -> float:
    """Share of the most frequent class: the accuracy of knowing nothing else."""
    return float(targets.bincount().max()) / targets.numel()
