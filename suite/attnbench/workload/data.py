"""The data of a task: rows in memory, in three parts, and what is said of them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

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
