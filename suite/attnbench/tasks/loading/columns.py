"""Columns of a data set of the hub, as lists and tensors. Every row is looked at: what is not as expected is refused, never guessed at."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from attnbench.errors import Unavailable

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa  # type: ignore[import-untyped]
    from numpy.typing import NDArray

AGAIN = "download it again as it is on the hub, or take a task with embedded data (--data embedded)"
LONGEST = 60  # characters of a value that an error quotes


@dataclass(frozen=True)
class Columns:
    """The columns of a split of a data set. name: OWNER/NAME on the hub. table: its rows, images as the bytes of their files."""

    name: str
    split: str
    table: pa.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def texts(self, column: str) -> list[str]:
        """The texts of a column. Raises Unavailable for a row that is none."""
        expected = "a text"
        found = []
        for row, value in self._values(column, expected):
            if not isinstance(value, str):
                raise self._refusal(column, row, _told(value), expected)
            found.append(value)
        return found

    def labels(self, column: str, classes: int) -> Tensor:
        """The classes of a column, [rows] int64 in 0 ... classes - 1. Raises Unavailable for a row that has none of them."""
        expected = f"a class, a whole number from 0 to {classes - 1}"
        found = []
        for row, value in self._values(column, expected):
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < classes:
                raise self._refusal(column, row, _told(value), expected)
            found.append(value)
        return torch.tensor(found)

    def images(self, column: str, mode: str, side: int | None = None) -> Tensor:
        """The images of a column: [rows, height, width] uint8 for mode "L" (grey), [rows, height, width, 3] for "RGB".

        side: of an image, in pixels; that of the first if it is not given. Raises Unavailable for a row that is no such image.
        """
        import numpy as np

        found: list[NDArray[np.uint8]] = []
        size = None if side is None else (side, side)
        expected = f"an image of {'' if side is None else f'{side} x {side} pixels and '}mode {mode}"
        if column in self.table.column_names and not self._says_images(column):
            raise self._refusal(
                column, 0, f"a column of plain {self.table.schema.field(column).type}", f"one of the type Image, and {expected}"
            )
        for row, value in self._values(column, expected):
            read = _read(value, mode, size)
            if isinstance(read, str):
                raise self._refusal(column, row, read, expected)
            if size is None:
                size = read.shape[1], read.shape[0]
                expected = f"an image of {size[0]} x {size[1]} pixels, as the first, and mode {mode}"
            found.append(read)
        return torch.from_numpy(np.stack(found))

    def _says_images(self, column: str) -> bool:
        """Whether the data set says that a column holds images: bytes of which nobody says what they are may be anything."""
        try:
            features = json.loads((self.table.schema.metadata or {})[b"huggingface"])["info"]["features"]
            return bool(features[column]["_type"] == "Image")
        except (KeyError, TypeError, ValueError):
            return False

    def _values(self, column: str, expected: str) -> Iterator[tuple[int, Any]]:
        """Number and value of every row of a column; of a text that is no UTF-8 its bytes."""
        if column not in self.table.column_names:
            there = ", ".join(map(repr, self.table.column_names)) or "none"
            raise self._refusal(column, 0, f"no such column; there are {there}", expected)
        if not self.table.num_rows:
            raise self._refusal(column, 0, "no row", expected)
        for row, value in enumerate(self.table[column]):
            try:
                yield row, value.as_py()
            except UnicodeDecodeError:
                yield row, value.as_buffer().to_pybytes()

    def _refusal(self, column: str, row: int, came: str, expected: str) -> Unavailable:
        place = f"{self.name}, split {self.split!r}, column {column!r}, row {row}"
        return Unavailable(f"{place}: {came}; expected {expected}; {AGAIN}")


def _told(value: object) -> str:
    """What came, in a few words."""
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= LONGEST else text[:LONGEST] + '…'}" if value is not None else "nothing (null)"


def _read(value: object, mode: str, size: tuple[int, int] | None) -> NDArray[np.uint8] | str:
    """The pixels of an encoded image; where it is no image of this mode and size, what came instead, in words.

    An image is encoded as on the hub, {"bytes", "path"}, or as plain bytes.
    """
    import numpy as np
    from PIL import Image

    try:
        encoded = _encoded(value)
        if encoded is None:
            return _told(value)
        with Image.open(io.BytesIO(encoded)) as image:
            if image.mode != mode or (size is not None and image.size != size):
                return f"an image of {image.width} x {image.height} pixels and mode {image.mode}"
            image.load()
            return np.asarray(image)
    except MemoryError:
        raise
    except Exception as error:  # of a damaged file PIL raises whatever it stumbles over
        return f"a file that cannot be read as an image ({type(error).__name__})"


def _encoded(value: object) -> bytes | None:
    """The content of an image's file; None where the value holds none."""
    if isinstance(value, dict) and value.keys() == {"bytes", "path"}:
        value = Path(value["path"]).read_bytes() if value["bytes"] is None and isinstance(value["path"], str) else value["bytes"]
    return value if isinstance(value, bytes) else None
