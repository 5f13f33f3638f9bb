"""Data that ship with the package, as parquet files in attnbench/tasks/data."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    import datasets

DATA = Path(__file__).parents[1] / "data"


def embedded(file: str) -> datasets.Dataset:
    """An embedded parquet file as a data set. `datasets` keeps an Arrow copy in its cache."""
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


@cache
def data_fingerprint(files: tuple[str, ...]) -> str:
    """Hash of embedded data files, 8 hex digits."""
    digest = hashlib.sha256()
    for name in files:
        digest.update((DATA / name).read_bytes())
    return digest.hexdigest()[:8]
