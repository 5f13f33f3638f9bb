"""Controls of the tests, sound unless said."""

from __future__ import annotations

from typing import Any

from attnbench.store.controls import Control


def make_control(**fields: Any) -> Control:
    given: dict[str, Any] = {
        "task": "mqar",
        "data": "generated",
        "data_fingerprint": "0123456789abcdef",
        "model": "frequency after the last tokens, Kneser-Ney",
        "metric": "accuracy",
        "value": 0.25,
        "validation_value": 0.3,
        "chosen": "1 tokens, of 0 to 4",
        "by_block": (0.5, 0.0, None),
        "asked_by_block": (3, 3, 0),
        "versions": {"scikit_learn": "1.9.1", "numpy": "2.4.6", "attnbench": None},
        "commit": "0" * 40,
        "dirty": False,
        "measured_at": "2026-11-30T11:00:00Z",
        "command": "python tools/controls.py mqar --rerun",
    }
    return Control(**{**given, **fields})
