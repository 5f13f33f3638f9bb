"""Records of costs and of results for the tests of statistics on frames: sound, quiet, reproducible."""

from __future__ import annotations

import random
from typing import Any

from attnbench.store.record import Record
from helpers.factory import make_record, make_spec

SAMPLES = 25
TASK_AXES = {"lr": 0.1, "task": "mnist", "data": "embedded:00000000", "block": "residual", "num_layers": 2, "epochs": 1}
KERNEL_AXES = ("seed", "seq_len", "dtype", "params", "device", "mode", "causal")


def timed(variant: str, middle: float, count: int = SAMPLES, **fields: Any) -> Record:
    """A forward cell of some seconds, softmax beside it taking one; samples 2 % about the middle, and a steady drift anchor."""
    axes = {name: fields.pop(name) for name in list(fields) if name in KERNEL_AXES}
    chance = random.Random(f"{variant} {middle} {axes} {fields.get('session')}")
    samples = [middle * chance.uniform(0.98, 1.02) for _ in range(count)]
    given = {"forward_s": samples, "anchor_ratio": samples, "peak_memory_bytes": [1000 * middle], "drift_anchor_s": [1e-3]}
    return make_record(make_spec(variant=variant, **axes), **{"measurements": given, **fields})


def learnt(variant: str, seed: int, accuracy: float, **fields: Any) -> Record:
    """A run of a task on its test part."""
    axes = {name: fields.pop(name) for name in list(fields) if name in (*TASK_AXES, "evaluate")}
    spec = make_spec(track="task", variant=variant, seed=seed, seq_len=None, mode="training", **{**TASK_AXES, **axes})
    given = {"accuracy": [accuracy], "train_s": [10.0], "peak_memory_bytes": [1e6], "drift_anchor_s": [1e-3]}
    return make_record(spec, **{"measurements": given, **fields})
