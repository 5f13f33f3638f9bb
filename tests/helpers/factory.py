"""Records for tests, made by the real classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attnbench.spec.axes import Spec
from attnbench.store import environment
from attnbench.store.peaks import Peaks, store_peaks
from attnbench.store.record import Record


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
