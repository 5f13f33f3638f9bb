"""The state of a training run on disk, so that a long run that is killed can continue from there."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import torch

from attnbench.store.files import write_whole

EVERY_S = 20.0  # a shorter run is done again rather than kept


class FileCheckpoint:
    """A checkpoint in one file, replaced as a whole: a reader finds the old state or the new one, however the writer died.

    every_s: seconds between two states that are kept, EVERY_S unless said.
    """

    def __init__(self, file: Path, every_s: float | None = None) -> None:
        self._file, self._every_s, self._saved = file, EVERY_S if every_s is None else every_s, time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The state that was saved last; None when there is none, or when it cannot be read and training starts anew."""
        try:
            state = torch.load(self._file, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            return None
        except Exception as error:  # torch raises whatever its readers do on a damaged file
            print(f"the checkpoint {self._file.name} cannot be read ({type(error).__name__}); training starts anew")
            return None
        return state if isinstance(state, dict) else None

    def save(self, state: dict[str, Any]) -> None:
        """Keep a state, unless the last was kept less than every_s ago."""
        if time.monotonic() - self._saved < self._every_s:
            return
        content = io.BytesIO()
        torch.save(state, content)
        write_whole(self._file, content.getvalue())
        self._saved = time.monotonic()
