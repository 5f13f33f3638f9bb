"""Records of the present timing rule for the tests of the site: three processes, a GPU, a drifting cell, a disturbed one, later ones.

Each process has an effect of its own on its times, as real ones have; numbers are drawn from the cell's name, so that they stay the same.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator

from attnbench.spec.axes import Spec
from attnbench.store.record import Record
from helpers.site_records import ENVIRONMENT, record, task

LENGTHS = (256, 512, 1024, 2048, 4096, 8192, 16384)
# Seconds of a forward call: of a token times a power of the length, and before the first token. The last: the code on a CPU and on a GPU.
CODE = {
    "softmax": (1e-9, 2.0, 2e-5, "tuned", "tuned"), "softmax_math": (3e-9, 2.05, 2e-5, "tuned", "tuned"),
    "orthogonal": (4e-7, 1.02, 6e-5, "tuned", "reference"), "polynomial": (1.2e-9, 2.0, 3e-5, "tuned", "tuned"),
    "linear_elu": (5e-7, 1.0, 3e-5, "reference", "reference"), "performer": (1.4e-6, 1.01, 8e-5, "reference", "reference"),
    "sigmoid": (1.3e-9, 2.0, 3e-5, "reference", "compiled"), "gated": (1.005e-9, 2.0, 2.5e-5, "tuned", "tuned"),
    "cosformer": (5.1e-7, 1.0, 3e-5, "reference", "reference"), "nystrom": (4.2e-7, 1.03, 9e-5, "reference", "reference"),
}  # fmt: skip
PROCESSES = 3
MODES = {"forward": 1.0, "training": 3.0}
SESSION, LATER = "20261201T060000Z-5e771e", "20261202T060000Z-1a7e12"
GPU = {"gpus": [{"name": "Example GPU"}], "gpu": "Example GPU"}
FACTS = {
    **ENVIRONMENT, "timing": "settled", "other_load": 0.02, "steal": 0.0, "involuntary_switches": 12, "busy_allowed": False, "dirty": False,
}  # fmt: skip


def settled() -> list[Record]:
    """A store of the present rule: a machine with every mode, a GPU whose short calls are bound by launches, and what went wrong."""
    found = [record for name in CODE for record in (*kernel(name), *kernel(name, device="cuda"))]
    found += [record for name in ("softmax", "orthogonal", "linear_elu") for record in (*decoding(name), *padded(name))]
    found += [record for name in ("softmax", "orthogonal", "polynomial") for record in task(name)]
    return [_later(_disturbed(_drifting(each))) for each in found]


def kernel(variant: str, device: str = "cpu", **axes: object) -> Iterator[Record]:
    """Both modes at every length in three processes; softmax_math only up to 4,096."""
    for mode in MODES:
        for seq_len in LENGTHS:
            if variant == "softmax_math" and seq_len > 4096:
                continue
            for process in range(PROCESSES):
                yield _cell(Spec(track="kernel", variant=variant, mode=mode, seq_len=seq_len, device=device, seed=process, **axes))


def decoding(variant: str) -> Iterator[Record]:
    """The two modes of causal mechanisms that are generated with."""
    for mode in ("prefill", "decode"):
        for seq_len in LENGTHS[:5]:
            yield from (
                _cell(Spec(track="kernel", variant=variant, mode=mode, causal=True, seq_len=seq_len, seed=p)) for p in range(PROCESSES)
            )


def padded(variant: str) -> Iterator[Record]:
    """A batch of which a third is padding, in one process."""
    yield _cell(Spec(track="kernel", variant=variant, mode="forward", seq_len=1024, batch_size=4, padded=0.333))


def _cell(spec: Spec) -> Record:
    scale, power, fixed, on_cpu, on_gpu = CODE[spec.variant]
    base = CODE["softmax"]
    times, theirs = MODES.get(spec.mode, 1.0), spec.seq_len or 1
    is_gpu = spec.device == "cuda"
    kernels = times * scale * theirs**power / (50 if is_gpu else 1)
    middle = max(kernels, 60 * fixed * times if is_gpu else 0.0) + fixed
    beside = times * base[0] * theirs ** base[1] / (50 if is_gpu else 1)
    beside = max(beside, 60 * base[2] * times if is_gpu else 0.0) + base[2]
    chance = random.Random(f"{spec.key()}")
    own, other = (chance.gauss(1.0, 0.012) for _ in range(2))
    rounds = [(middle * own * chance.gauss(1, 0.004), beside * other * chance.gauss(1, 0.004)) for _ in range(12)]
    measured = {
        f"{spec.mode}_s": [mine for mine, _ in rounds], "anchor_s": [softmax for _, softmax in rounds],
        "anchor_ratio": [mine / softmax for mine, softmax in rounds], "peak_memory_bytes": [1000.0 * theirs**power],
        "drift_anchor_s": [0.005 * chance.gauss(1, 0.003) for _ in range(6)], "mfu": [min(0.6, 4e-10 * theirs**2 / middle)],
        "error": [3e-7], "error_share": [0.15], "row_error": [8e-7], "verified_rows": [64.0], "peak_rss_bytes": [9000.0 * theirs**power],
    }  # fmt: skip
    facts = {**FACTS, "implementation": on_gpu if is_gpu else on_cpu, "softmax_backend": "flash"}
    if is_gpu:
        measured[f"{spec.mode}_kernel_s"] = [kernels * chance.gauss(1, 0.002) for _ in range(12)]
        facts |= {**GPU, "kernel_clock": "graph"}
    day = f"2026-12-01T06:{len(spec.variant):02}:{spec.seed:02}Z"
    return record(spec, session=SESSION, started_at=day, environment=facts, measurements=measured)


def _drifting(each: Record) -> Record:
    """Of performer's forward call at 4,096 the drift anchor was half as fast after it as before."""
    s = each.spec
    if (s.variant, s.mode, s.seq_len, s.device) != ("performer", "forward", 4096, "cpu"):
        return each
    return dataclasses.replace(each, measurements={**each.measurements, "drift_anchor_s": [0.005] * 3 + [0.01] * 3})


def _disturbed(each: Record) -> Record:
    """Beside sigmoid's forward call at 2,048 another process was at work."""
    s = each.spec
    if (s.variant, s.mode, s.seq_len, s.device) != ("sigmoid", "forward", 2048, "cpu"):
        return each
    return dataclasses.replace(each, environment={**each.environment, "other_load": 0.97})


def _later(each: Record) -> Record:
    """Nystrom's cells were measured on another day, by another commit, in one process."""
    if each.spec.variant != "nystrom" or each.spec.track != "kernel":
        return each
    facts = {**each.environment, "commit": "fedcba9876543210fedcba9876543210fedcba98"}
    return dataclasses.replace(each, session=LATER, started_at=each.started_at.replace("12-01", "12-02"), environment=facts)


def kernel_records(device: str = "cpu") -> list[Record]:
    """Those of kernel cells on one device."""
    return [each for each in settled() if each.spec.track == "kernel" and each.spec.device == device]
