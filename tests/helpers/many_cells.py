"""A store of very many different cells, as a busy leaderboard has: python tests/many_cells.py FOLDER COUNT.

Every registered mechanism at every length, mode, masking and dtype, in stacks of six depths and on six tasks with five seeds, on as
many machines as it takes. Unlike many_records.py, whose records are seeds of few cells, it makes as many tables and charts as can be.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attnbench
from attnbench.spec.axes import Spec
from attnbench.store.record import Record, encode
from helpers.factory import make_record

LENGTHS = tuple(128 << k for k in range(10))
TASKS = ("mnist", "fashion_mnist", "sotu_era", "sotu_mlm", "mqar", "listops")
SESSION_OF = 1000  # records
_MACHINE, _SESSION = "MACHINE", "SESSION"
ENVIRONMENT = {
    "architecture": "x86_64", "attnbench": "0.1.0", "caches_bytes": {"L1d": 49152, "L2": 2097152, "L3": 37748736}, "commit": "0" * 40,
    "cores": 2, "cpu": "Intel(R) Xeon(R) Processor", "dirty": False, "gpus": [], "load_average": 0.41, "logical_cores": 2,
    "memory_bytes": 25276502016, "memory_share": 0.75, "os": "Linux 6.18.44", "python": "3.11.7", "threads": 2, "timeout_s": 600.0,
    "torch": "2.13.0+cpu", "triton": "3.9.0",
}  # fmt: skip


def write_store(results: Path, count: int) -> None:
    """Write `count` records, machine after machine."""
    lines = [encode(record) for record in _machine()]
    for first in range(0, count, SESSION_OF):
        machine, session = f"machine{first // len(lines):03}", f"20261122T{first // SESSION_OF:06}Z-abcdef"
        parts: dict[str, list[bytes]] = {}
        for number in range(first, min(first + SESSION_OF, count)):
            machine = f"machine{number // len(lines):03}"
            line = lines[number % len(lines)].replace(_MACHINE.encode(), machine.encode()).replace(_SESSION.encode(), session.encode())
            parts.setdefault(machine, []).append(line)
        for machine, own in parts.items():
            file = results / "records" / machine / f"{session}.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"".join(own))


def _machine() -> list[Record]:
    """Every cell of one machine, in an order of chance, so that a part of them is still a bit of everything."""
    chance = random.Random(0)
    records = [_record(spec, place, chance) for place, spec in _specs()]
    chance.shuffle(records)
    return records


def _specs() -> Iterator[tuple[int, Spec]]:
    """Every spec, with the place of its mechanism among all."""
    for place, variant in enumerate(attnbench.names("variants")):
        for dtype in ("float32", "bfloat16"):
            for causal in (False, True):
                for length in LENGTHS:
                    for mode in ("forward", "training"):
                        yield place, Spec(track="kernel", variant=variant, dtype=dtype, causal=causal, mode=mode, seq_len=length)
        for block in ("residual", "skipless"):
            for layers in (1, 2, 4, 8, 16, 32):
                yield place, Spec(track="depth", variant=variant, block=block, num_layers=layers, seq_len=64, head_dim=16)
        for task in TASKS if place % 2 else ():
            for seed in range(5):
                stack: dict[str, Any] = {"block": "residual", "num_layers": 2, "epochs": 4, "lr": 3e-3, "seed": seed, "head_dim": 16}
                yield place, Spec(track="task", variant=variant, task=task, data="embedded:06bf3045", **stack)


def _record(spec: Spec, place: int, chance: random.Random) -> Record:
    def samples(count: int, middle: float) -> list[float]:
        return [middle * chance.uniform(1, 1.1) for _ in range(count)]

    cost = 1 + 0.2 * place
    fixed = {"drift_anchor_s": samples(3, 5e-3), "peak_memory_bytes": [1e6 * cost]}
    curve: dict[str, list[float | None]] = {}
    if spec.track == "task":
        score = {"bits_per_byte": 3.0, "unigram_bits": 4.4} if spec.task == "sotu_mlm" else {"accuracy": 0.8, "majority_share": 0.1}
        learnt = {name: [value * chance.uniform(0.9, 1.1)] for name, value in score.items()}
        own = {
            **learnt,
            "train_s": samples(1, 9 * cost),
            "time_to_target_s": samples(1, 4 * cost),
            "training_tokens_per_s": samples(1, 9e4),
        }
        curve = {
            "step": [0.0, 10.0, 20.0],
            "wall_s": [0.0, 5.0, 9.0],
            "train_loss": [None, 2.0, 1.0],
            "validation_accuracy": [0.1, 0.6, 0.8],
        }
    else:
        length = spec.seq_len or 1
        middle = cost * 1e-6 * length * (spec.num_layers or 1)
        own = {f"{spec.mode}_s": samples(25, middle), "anchor_ratio": samples(25, cost), "anchor_s": samples(25, 1e-6 * length)}
        own |= {"flops": [1e6], "error": [1e-7], "roofline_fraction": [0.2], "theory_bytes": [1e6], "first_call_s": [0.1]}
        if spec.track == "depth":
            own |= {"jacobian_condition": samples(1, 10.0), "effective_rank": samples(1, 9.0), "gradient_norm": samples(1, 1.0)}
    started = f"2026-11-22T{chance.randrange(24):02}:00:00Z"
    return make_record(
        spec, machine=_MACHINE, session=_SESSION, measurements={**own, **fixed}, environment=ENVIRONMENT, curve=curve, started_at=started,
        clocks={metric: "wall" for metric in own if metric.endswith("_s")}, command=f"attnbench run --rerun --cell '{spec.compact()}'",
        stages_s={stage: chance.uniform(0.01, 0.3) for stage in ("start", "build", "warm up", "time", "memory", "verify")},
    )  # fmt: skip


if __name__ == "__main__":
    write_store(Path(sys.argv[1]), int(sys.argv[2]))
