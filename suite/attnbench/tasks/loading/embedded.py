"""Data that ship with the package, parquet files in attnbench/tasks/data, read straight from there: they need no cache and no home."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attnbench.errors import BadInput, text_of

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

DATA = Path(__file__).parents[1] / "data"


def embedded(file: str) -> pa.Table:
    """An embedded parquet file as a table.

    Raises BadInput for a file that is not there, or cannot be read.
    """
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    try:
        return pq.read_table(_path(file), use_threads=False, partitioning=None)  # a folder called a=b is no column
    except (OSError, ValueError) as error:  # pyarrow's own errors are among them
        raise BadInput(f"the embedded file {file} cannot be read: {text_of(error)}; install attnbench again") from error


@cache
def images(file: str, side: int) -> tuple[Tensor, Tensor]:
    """Images [rows, side, side] uint8 and labels [rows] int64 of an embedded file with columns `image` and `label`."""
    import numpy as np

    rows = embedded(file)
    pixels = rows["image"].combine_chunks().flatten().to_numpy().astype(np.uint8)  # a copy: pyarrow's own memory is read-only
    labels = rows["label"].to_numpy().astype(np.int64)
    return torch.from_numpy(pixels).view(-1, side, side), torch.from_numpy(labels)


@cache
def data_fingerprint(files: tuple[str, ...]) -> str:
    """Hash of embedded data files, 8 hex digits.

    Raises BadInput for a file that is not there.
    """
    digest = hashlib.sha256()
    for name in files:
        digest.update(_path(name).read_bytes())
    return digest.hexdigest()[:8]


def _path(file: str) -> Path:
    path = DATA / file
    if not path.is_file():
        known = ", ".join(sorted(each.name for each in DATA.glob("*.parquet")))
        raise BadInput(f"no embedded file is called {file!r}; there are {known}")
    return path
