"""Large stores and tables for the programs and tests that need some: records of few cells, of very many cells, and a table's rows.

python tools/_stores.py records|cells FOLDER COUNT
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

import attnbench
from attnbench.analysis.frame import frame
from attnbench.spec.axes import Spec
from attnbench.store.record import Record, encode

DOUBLED = tuple(128 << k for k in range(10))
TASKS = ("mnist", "fashion_mnist", "sotu_era", "sotu_mlm", "mqar", "listops")
SESSION_OF = 1000  # records
MACHINES = 4
_SEED, _ID, _MACHINE, _SESSION = 987654321, "0123456789abcdef", "MACHINE", "SESSION"
_STAGES = ("start", "build", "warm up", "time", "memory", "flops", "verify")
ENVIRONMENT = {
    "architecture": "x86_64", "attnbench": "0.1.0", "caches_bytes": {"L1d": 49152, "L2": 2097152, "L3": 37748736}, "commit": "0" * 40,
    "cores": 2, "cpu": "Intel(R) Xeon(R) Processor", "dirty": False, "gpus": [], "load_average": 0.41, "logical_cores": 2,
    "memory_bytes": 25276502016, "memory_share": 0.75, "os": "Linux 6.18.44", "python": "3.11.7", "threads": 2, "timeout_s": 600.0,
    "torch": "2.13.0+cpu", "triton": "3.9.0",
}  # fmt: skip


def _record(spec: Spec, **fields: Any) -> Record:
    """A record as large as `attnbench run` writes them, about 3 kB with its measurements."""
    given = {
        "id": spec.key(), "fingerprint": "f" * 16, "machine": _MACHINE, "session": _SESSION, "spec": spec, "status": "ok",
        "environment": ENVIRONMENT, "started_at": "2026-11-22T00:00:00Z", "duration_s": 1.5,
        "command": f"attnbench run --rerun --cell '{spec.compact()}'",
    }  # fmt: skip
    return Record(**{**given, **fields})


def write_records(results: Path, count: int) -> None:
    """Write `count` records whose ids, seeds and places differ; their samples repeat after 200."""
    lines = [encode(_kernel_record(number)) for number in range(200)]
    for first in range(0, count, SESSION_OF):
        session = first // SESSION_OF
        machine = f"machine{session % MACHINES}"
        file = results / "records" / machine / f"20261122T{session:06}Z-abcdef.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as stream:
            for number in range(first, min(first + SESSION_OF, count)):
                line = lines[number % len(lines)].replace(b"%d" % _SEED, b"%d" % number).replace(_ID.encode(), b"%016x" % number)
                stream.write(line.replace(_MACHINE.encode(), machine.encode()).replace(_SESSION.encode(), file.stem.encode()))


def _kernel_record(number: int) -> Record:
    """A kernel record of 11 metrics, about 3 kB."""
    chance = random.Random(number)

    def samples(count: int, middle: float) -> list[float]:
        return [middle * chance.uniform(1, 1.1) for _ in range(count)]

    variant = ("softmax", "orthogonal", "polynomial", "linear_elu")[number % 4]
    mode = ("forward", "training")[number // 4 % 2]
    spec = Spec(track="kernel", variant=variant, mode=mode, seq_len=128 << number // 8 % 9, seed=_SEED)
    timed, anchor = samples(25, 1e-3), samples(25, 2e-3)
    measurements = {
        f"{mode}_s": timed, "anchor_s": anchor, "anchor_ratio": [a / b for a, b in zip(timed, anchor, strict=True)],
        "drift_anchor_s": samples(3, 1e-4), "first_call_s": samples(1, 0.1), "peak_memory_bytes": [828416.0], "theory_bytes": [8e5],
        "peak_rss_bytes": samples(1, 3e8), "flops": [268435456.0], "error": samples(1, 1e-7), "roofline_fraction": samples(1, 0.2),
    }  # fmt: skip
    return _record(
        spec,
        id=_ID,
        measurements=measurements,
        clocks={metric: "wall" for metric in measurements if metric.endswith("_s")},
        stages_s={stage: chance.uniform(0.01, 0.3) for stage in _STAGES},
        command=f"attnbench run --rerun --cell '{spec.compact()}'",
    )


def write_cells(results: Path, count: int, of_machine: int | None = None) -> None:
    """Write `count` records of as many different cells as can be, machine after machine: as many of each as it has, or `of_machine`."""
    lines = [encode(record) for record in _every_cell()][:of_machine]
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


def _every_cell() -> list[Record]:
    """Every cell of one machine, in an order of chance, so that a part of them is still a bit of everything."""
    chance = random.Random(0)
    records = [_cell_record(spec, place, chance) for place, spec in _specs()]
    chance.shuffle(records)
    return records


def _specs() -> Iterator[tuple[int, Spec]]:
    """Every spec, with the place of its mechanism among all."""
    for place, variant in enumerate(attnbench.names("variants")):
        for dtype in ("float32", "bfloat16"):
            for causal in (False, True):
                for length in DOUBLED:
                    for mode in ("forward", "training"):
                        yield place, Spec(track="kernel", variant=variant, dtype=dtype, causal=causal, mode=mode, seq_len=length)
        for block in ("residual", "skipless"):
            for layers in (1, 2, 4, 8, 16, 32):
                yield place, Spec(track="depth", variant=variant, block=block, num_layers=layers, seq_len=64, head_dim=16)
        for task in TASKS if place % 2 else ():
            for seed in range(5):
                stack: dict[str, Any] = {"block": "residual", "num_layers": 2, "epochs": 4, "lr": 3e-3, "seed": seed, "head_dim": 16}
                yield place, Spec(track="task", variant=variant, task=task, data="embedded:06bf3045", **stack)


def _cell_record(spec: Spec, place: int, chance: random.Random) -> Record:
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
    return _record(
        spec, measurements={**own, **fixed}, curve=curve, started_at=started,
        clocks={metric: "wall" for metric in own if metric.endswith("_s")}, command=f"attnbench run --rerun --cell '{spec.compact()}'",
        stages_s={stage: chance.uniform(0.01, 0.3) for stage in ("start", "build", "warm up", "time", "memory", "verify")},
    )  # fmt: skip


def many_rows(count: int) -> pd.DataFrame:
    """At least `count` rows, of records with eleven metrics each, and 25 samples of every time."""
    one = frame(_one_machine())
    copies = -(-count // len(one))
    names = [f"machine{number:04}" for number in range(copies)]
    table = pd.concat([one] * copies, ignore_index=True)
    whose = [name for name in names for _ in range(len(one))]
    return table.assign(machine=pd.array(whose, dtype=one["machine"].dtype))


def _one_machine() -> list[Record]:
    chance = random.Random(0)

    def samples(middle: float) -> list[float]:
        return [middle * chance.uniform(1, 1.1) for _ in range(25)]

    found = []
    for place, variant in enumerate(attnbench.names("variants")):
        for mode in ("forward", "training"):
            for length in DOUBLED[:9]:
                cost = 1 + 0.04 * place
                timed = {f"{mode}_s": samples(cost * length * 1e-6), "anchor_ratio": samples(cost), "anchor_s": samples(length * 1e-6)}
                single = {name: [cost * length] for name in ("peak_memory_bytes", "theory_bytes", "flops", "error", "roofline_fraction")}
                more = {"drift_anchor_s": [1e-3] * 6, "first_call_s": [0.1], "peak_rss_bytes": [1e8]}
                spec = Spec(track="kernel", variant=variant, mode=mode, seq_len=length)
                found.append(_record(spec, measurements={**timed, **single, **more}))
    return found


if __name__ == "__main__":
    {"records": write_records, "cells": write_cells}[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
