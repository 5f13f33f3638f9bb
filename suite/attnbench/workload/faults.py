"""Whether the data of a task are what it declares: shapes, types, and every token and class within its range."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attnbench.workload.data import IGNORED, Split

if TYPE_CHECKING:
    from attnbench.workload.task import Task


def fault(task: Task, split: Split) -> str | None:
    """What in a split is not as the task declares it, with the first row where that is so, in words; None where all is."""
    if not (isinstance(split, Split) and isinstance(split.inputs, Tensor) and isinstance(split.targets, Tensor)):
        return f"{type(split).__name__}; expected a Split of tensors"
    rows = split.targets.shape[0] if split.targets.ndim else 0
    if not rows:
        return "no row; expected one at least"
    return _fault_of_inputs(task, split, rows) or _fault_of_targets(task, split.targets, rows)


def _fault_of_inputs(task: Task, split: Split, rows: int) -> str | None:
    shape, mask = list(split.inputs.shape), split.padding_mask
    if task.patch is None:
        dtype, fits, expected = torch.int64, shape == [rows, task.seq_len], f"[{rows}, {task.seq_len}]"
    else:
        colours = [] if task.channels == 1 else [task.channels]
        height, width = shape[1:3] if len(shape) == 3 + len(colours) else (0, 0)
        whole = height * width == task.seq_len * task.patch**2 and height % task.patch == width % task.patch == 0
        dtype, fits = torch.uint8, whole and [shape[0], *shape[3:]] == [rows, *colours]
        expected = f"{rows} images of {task.seq_len} patches of {task.patch} x {task.patch} pixels, {task.channels} channels"
    if not fits or split.inputs.dtype != dtype:
        return f"inputs {shape} of {split.inputs.dtype}; expected {expected} of {dtype}"
    if mask is not None and (list(mask.shape) != [rows, task.seq_len] or mask.dtype != torch.bool):
        return f"a padding mask {list(mask.shape)} of {mask.dtype}; expected [{rows}, {task.seq_len}] of torch.bool"
    return None if task.vocabulary is None else _beyond(split.inputs, task.vocabulary, "token")


def _fault_of_targets(task: Task, targets: Tensor, rows: int) -> str | None:
    expected = [rows, task.seq_len] if task.per_token else [rows]
    if list(targets.shape) != expected or targets.dtype != torch.int64:
        return f"targets {list(targets.shape)} of {targets.dtype}; expected {expected} of torch.int64"
    asked = targets.masked_fill(targets == IGNORED, 0) if task.per_token else targets
    if task.per_token and bool((targets == IGNORED).all()):
        return "no position is asked; expected one at least"
    return _beyond(asked, task.num_classes, "class")


def _beyond(values: Tensor, bound: int, what: str) -> str | None:
    """The first value outside 0 ... bound - 1, with its row, in words; None where there is none."""
    wrong = (values < 0) | (values >= bound)
    if not wrong.any():
        return None
    first = wrong.nonzero()[0]
    return f"row {int(first[0])}: {what} {int(values[tuple(first)])}; expected 0 to {bound - 1}"
