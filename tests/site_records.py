"""Records for the tests of the site: small, made up, with every status, several machines, and names that mean harm."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from attnbench.record import Record, Status
from attnbench.spec import Spec

LENGTHS = (128, 512, 2048, 8192)
COST = {"softmax": (1e-9, 2.0), "softmax_math": (3e-9, 2.05), "orthogonal": (4e-7, 1.02), "polynomial": (4e-9, 2.1)}
HOSTILE = "</script><img src=x onerror=alert(1)>../../../evil"
ENVIRONMENT = {
    "cpu": "Example 9000", "cores": 8, "logical_cores": 16, "threads": 8, "memory_bytes": 64 * 2**30, "gpus": [], "os": "Linux 6.1",
    "python": "3.11.7", "torch": "2.13.0", "commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False,
}  # fmt: skip


def record(spec: Spec, status: Status = "ok", machine: str = "example", started_at: str = "2026-11-22T06:00:00Z", **fields: Any) -> Record:
    """A record of a spec, with plausible provenance."""
    given: dict[str, Any] = {
        "id": spec.key(), "fingerprint": "f" * 16, "machine": machine, "session": "20261122T060000Z-abc123", "spec": spec,
        "status": status, "environment": ENVIRONMENT, "started_at": started_at, "duration_s": 1.5,
        "command": f"attnbench run --rerun --cell '{spec.compact()}'",
    }  # fmt: skip
    if "measurements" in fields:
        fields["measurements"] = {"drift_anchor_s": samples(0.005), **fields["measurements"]}
    return Record(**{**given, **fields})


def samples(middle: float, count: int = 12) -> list[float]:
    """Samples around a middle, always the same ones."""
    return [middle * (1 + 0.01 * math.sin(1 + 7 * i)) for i in range(count)]


def kernel(variant: str, machine: str = "example", device: str = "cpu") -> Iterator[Record]:
    """Both modes at every length; softmax_math and polynomial run out of memory at the longest."""
    scale, power = COST.get(variant, (2e-9, 1.5))
    for mode in ("forward", "training"):
        for seq_len in LENGTHS:
            spec = Spec(track="kernel", variant=variant, mode=mode, seq_len=seq_len, device=device)
            if variant in ("softmax_math", "polynomial") and seq_len == LENGTHS[-1]:
                yield record(spec, "oom", machine, reason="tried to allocate 3.0 GiB", stage="memory")
                continue
            middle = scale * seq_len**power * (3 if mode == "training" else 1)
            yield record(spec, machine=machine, measurements={f"{mode}_s": samples(middle), "peak_memory_bytes": [1000.0 * seq_len**power]})


def depth(variant: str) -> Iterator[Record]:
    """Residual and skipless at three depths; the skipless Jacobian saturates."""
    for block in ("residual", "skipless"):
        for layers in (1, 4, 16):
            spec = Spec(track="depth", variant=variant, seq_len=64, block=block, num_layers=layers, head_dim=16, batch_size=4)
            condition = min(1e15, 30.0 ** (layers if block == "skipless" else 1))
            found = {
                "training_s": samples(0.002 * layers), "peak_memory_bytes": [1e6 * layers], "parameters": [33e3 * layers],
                "jacobian_condition": [condition], "effective_rank": [1 + 12 / layers], "gradient_norm": [0.5 * layers],
                "attention_frobenius": [1.5] * layers,
            }  # fmt: skip
            yield record(spec, measurements=found)


def task(variant: str, seeds: int = 3) -> Iterator[Record]:
    """Two tasks; `sotu_era` with one seed only."""
    for name, count in (("mnist", seeds), ("sotu_era", 1)):
        for seed in range(count):
            spec = Spec(
                track="task", variant=variant, task=name, data="embedded:06bf3045", block="residual", num_layers=2, epochs=3, lr=3e-3,
                head_dim=16, batch_size=64, seed=seed,
            )  # fmt: skip
            accuracy = 0.80 + 0.02 * len(variant) / 10 + 0.004 * seed
            found = {
                "accuracy": [accuracy], "validation_accuracy": [accuracy - 0.01], "train_s": [5.0 + len(variant)],
                "training_tokens_per_s": [1.4e5], "inference_tokens_per_s": [3.5e5], "peak_memory_bytes": [3e7], "parameters": [1e5],
                "diverged": [float(variant == "polynomial" and seed == 2)],
            }  # fmt: skip
            curve: dict[str, list[float | None]] = {
                "step": [57, 114, 171], "wall_s": [2.0, 4.0, 6.0], "train_loss": [1.5, 0.6, None],
                "validation_accuracy": [0.6, 0.75, accuracy],
            }  # fmt: skip
            yield record(spec, measurements=found, curve=curve)


def usual() -> list[Record]:
    """A store such as a reader meets: four mechanisms and somebody's file on one machine, two of them on a second."""
    found: list[Record] = []
    for variant in (*COST, "my_file"):
        found += [*kernel(variant), *depth(variant), *task(variant)]
    for variant in ("softmax", "orthogonal"):
        found += kernel(variant, machine="big-gpu", device="cuda")
    causal = Spec(track="kernel", variant="orthogonal", seq_len=512, causal=True)
    found.append(record(causal, "skipped", reason="orthogonal has no causal form: a triangular orthogonal matrix is diagonal"))
    found.append(record(Spec(track="kernel", variant="softmax", seq_len=512, causal=True), measurements={"training_s": samples(0.01)}))
    late = Spec(track="kernel", variant="my_file", seq_len=32768)
    found.append(record(late, "timeout", reason="600 s were not enough", stage="time"))
    return found


def all_failed() -> list[Record]:
    """Nothing but failures, one of each kind."""
    statuses: tuple[Status, ...] = ("skipped", "unavailable", "incorrect", "oom", "timeout", "error")
    specs = [
        Spec(track="kernel", variant="softmax", seq_len=128),
        Spec(track="depth", variant="softmax", seq_len=64, block="residual", num_layers=2),
        Spec(track="task", variant="softmax", task="mnist", block="residual", num_layers=2, epochs=1, lr=0.1),
    ]
    return [
        record(Spec(**{**spec.axes(), "variant": f"v{i}"}), status, reason="because") for spec in specs for i, status in enumerate(statuses)
    ]


def hostile() -> list[Record]:
    """Names, reasons, commands and environments that would do harm where they are not escaped, beside an honest record."""
    spec = Spec(track="kernel", variant=HOSTILE, seq_len=128, params={HOSTILE: HOSTILE})
    other = Spec(track="kernel", variant="../../../../tmp/evil.py", seq_len=512)
    trained = Spec(track="task", variant=HOSTILE, task=HOSTILE, data=HOSTILE, block="residual", num_layers=1, epochs=1, lr=0.1)
    environment = {**ENVIRONMENT, "cpu": HOSTILE, "gpus": [{"name": HOSTILE}], "commit": HOSTILE, "torch": HOSTILE, "memory_bytes": HOSTILE}
    shared: dict[str, Any] = {"environment": environment, "command": HOSTILE, "reason": HOSTILE, "stage": HOSTILE, "session": HOSTILE}
    times = {"training_s": samples(0.01), HOSTILE: [1.0]}
    return [
        record(spec, machine=HOSTILE, id=HOSTILE, measurements=times, started_at=HOSTILE, **shared),
        record(other, "error", machine="../../up", **shared),
        record(trained, measurements={"accuracy": [0.5], "train_s": [1.0]}, curve={"wall_s": [1.0], "train_loss": [2.0, None]}, **shared),
        record(Spec(track="kernel", variant="softmax", seq_len=128), measurements={"training_s": [0.0, -1.0], "peak_memory_bytes": []}),
        record(Spec(track="kernel", variant="softmax", seq_len=256), measurements={"training_s": [1e149], "peak_memory_bytes": [1e308]}),
        record(Spec(track="kernel", variant="huge", seq_len=256), measurements={"training_s": [1e-149], "peak_memory_bytes": [5e-324]}),
        record(Spec(track="kernel", variant="huge", seq_len=2**60), "oom"),
    ]
