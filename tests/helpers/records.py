"""Every record of the tests is made here, by the real classes: plain ones, costs and results that are sound and reproducible, and ones
of which `attnbench validate` has nothing to say, for tests that spoil them.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

from attnbench.spec.axes import Spec
from attnbench.store import environment
from attnbench.store.peaks import Peaks, store_peaks
from attnbench.store.record import Record, encode
from attnbench.store.validate import Fault, validate

SAMPLES = 25
TASK_AXES = {"lr": 0.1, "task": "mnist", "data": "embedded:00000000", "block": "residual", "num_layers": 2, "epochs": 1}
KERNEL_AXES = ("seed", "seq_len", "dtype", "params", "device", "mode", "causal", "padded", "num_kv_heads")
TASK = {"track": "task", "task": "mnist", "block": "residual", "num_layers": 2, "epochs": 1, "lr": 0.1, "seq_len": None, "mode": "training"}


def make_peaks(**fields: Any) -> Peaks:
    """Of a machine with three threads, unless said."""
    given = {
        "device": "cpu",
        "device_name": "a processor",
        "threads": 3,
        "torch": environment.version_of("torch"),
        "flops_per_s": {"float32": 1e11, "bfloat16": 4e11},
        "bandwidth": ((2**18, 40e9), (2**20, 100e9), (2**22, 20e9)),
        "anchor_s": (0.004, 0.005),
        "measured_at": "2026-11-22T12:00:00Z",
    }
    return Peaks(**{**given, **fields})


def know_machine(results: Path, machine: str | None = None) -> None:
    """Store peaks that nothing reaches, so that a run need not measure this machine's own for a quarter of a minute."""
    peaks = make_peaks(threads=environment.physical_cores(), flops_per_s={"float32": 1e18}, bandwidth=((2**20, 1e18),), anchor_s=(0.01,))
    store_peaks(results, machine or environment.machine_name(), peaks)


def make_spec(**axes: Any) -> Spec:
    return Spec(**{"track": "kernel", "variant": "softmax", "seq_len": 1024, "mode": "forward", **axes})


def make_record(spec: Spec | None = None, **fields: Any) -> Record:
    spec = spec or make_spec()
    given = {
        "id": spec.key(),
        "fingerprint": "f" * 16,
        "machine": "desk",
        "session": "20261122T000000Z-abcdef",
        "spec": spec,
        "status": "ok",
        "measurements": {"forward_s": [0.25, 0.5, 1.0], "peak_memory_bytes": [4096.0]},
        "environment": {"torch": "2.13.0", "commit": "0" * 40, "cpu": "a processor"},
        "started_at": "2026-11-22T00:00:00Z",
        "duration_s": 1.5,
        "command": "attnbench run",
    }
    return Record(**{**given, **fields})


def timed(variant: str, middle: float, count: int = SAMPLES, **fields: Any) -> Record:
    """A forward cell of some seconds, softmax beside it taking one; samples 2 % about the middle, and a steady drift anchor.

    more: measurements beside these, or in their place.
    """
    axes = {name: fields.pop(name) for name in list(fields) if name in KERNEL_AXES}
    chance = random.Random(f"{variant} {middle} {axes} {fields.get('session')}")
    more = fields.pop("more", {})
    samples = [middle * chance.uniform(0.98, 1.02) for _ in range(count)]
    given = {"forward_s": samples, "anchor_ratio": samples, "peak_memory_bytes": [1000 * middle], "drift_anchor_s": [1e-3]}
    return make_record(make_spec(variant=variant, **axes), **{"measurements": {**given, **more}, **fields})


def learnt(variant: str, seed: int, accuracy: float, **fields: Any) -> Record:
    """A run of a task on its test part."""
    axes = {name: fields.pop(name) for name in list(fields) if name in (*TASK_AXES, "evaluate", "token_shift", "init_norm")}
    spec = make_spec(track="task", variant=variant, seed=seed, seq_len=None, mode="training", **{**TASK_AXES, **axes})
    given = {"accuracy": [accuracy], "train_s": [10.0], "peak_memory_bytes": [1e6], "drift_anchor_s": [1e-3]}
    return make_record(spec, **{"measurements": given, **fields})


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
