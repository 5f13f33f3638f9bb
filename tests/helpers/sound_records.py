"""Records of which `attnbench validate` has nothing to say, for tests that spoil them, and what it says of a store."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from attnbench.store.record import Record, encode
from attnbench.store.validate import Fault, validate
from helpers.factory import make_record

TASK = {"track": "task", "task": "mnist", "block": "residual", "num_layers": 2, "epochs": 1, "lr": 0.1, "seq_len": None, "mode": "training"}


def sound(**fields: Any) -> Record:
    """A record of which there is nothing to say."""
    given = {
        "measurements": {
            "forward_s": [0.25, 0.5, 1.0], "anchor_s": [0.5, 0.5, 0.5], "anchor_ratio": [0.5, 1.0, 2.0], "peak_memory_bytes": [4096.0],
        },
        "clocks": {"forward_s": "wall", "anchor_s": "wall"},
        "environment": {"commit": "0" * 40, "dirty": False, "load_average": 0.5, "threads": 2},
    }  # fmt: skip
    return make_record(**{**given, **fields})


def session(results: Path, *lines: bytes) -> Path:
    file = results / "records" / "desk" / "20261122T000000Z-abcdef.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"".join(lines))
    return file


def faults(results: Path) -> list[Fault]:
    return list(validate(results, Counter()))


def only(results: Path) -> Fault:
    """The one fault of a store."""
    (fault,) = faults(results)
    return fault


def measured(**changes: list[float]) -> dict[str, list[float]]:
    return {**sound().measurements, **changes}


def line(**fields: Any) -> bytes:
    return encode(sound(**fields))
