"""Records for tests, made by the real classes."""

from __future__ import annotations

from typing import Any

from attnbench.record import Record
from attnbench.spec import Spec


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
