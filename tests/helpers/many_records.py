"""A store of very many records, as large each as `attnbench run` writes them: python tests/many_records.py FOLDER COUNT."""

from __future__ import annotations

import dataclasses
import random
import sys
from pathlib import Path

from attnbench.store.record import Record, encode
from helpers.factory import make_record, make_spec

SESSION_OF = 1000  # records
MACHINES = 4
_SEED, _ID, _MACHINE, _SESSION = 987654321, "0123456789abcdef", "MACHINE", "SESSION"
_ENVIRONMENT = {
    "architecture": "x86_64", "attnbench": "0.1.0", "caches_bytes": {"L1d": 49152, "L2": 2097152, "L3": 37748736}, "commit": "0" * 40,
    "cores": 2, "cpu": "Intel(R) Xeon(R) Processor", "dirty": False, "gpus": [], "load_average": 0.41, "logical_cores": 2,
    "memory_bytes": 25276502016, "memory_share": 0.75, "os": "Linux 6.18.44", "python": "3.11.7", "threads": 2, "timeout_s": 600.0,
    "torch": "2.13.0+cpu", "triton": "3.9.0",
}  # fmt: skip
_STAGES = ("start", "build", "warm up", "time", "memory", "flops", "verify")


def write_store(results: Path, count: int) -> None:
    """Write `count` records whose ids, seeds and places differ; their samples repeat after 200."""
    lines = [encode(_template(number)) for number in range(200)]
    for first in range(0, count, SESSION_OF):
        session = first // SESSION_OF
        machine = f"machine{session % MACHINES}"
        file = results / "records" / machine / f"20261122T{session:06}Z-abcdef.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as stream:
            for number in range(first, min(first + SESSION_OF, count)):
                line = lines[number % len(lines)].replace(b"%d" % _SEED, b"%d" % number).replace(_ID.encode(), b"%016x" % number)
                stream.write(line.replace(_MACHINE.encode(), machine.encode()).replace(_SESSION.encode(), file.stem.encode()))


def _template(number: int) -> Record:
    """A kernel record of 11 metrics, about 3 kB."""
    chance = random.Random(number)

    def samples(count: int, middle: float) -> list[float]:
        return [middle * chance.uniform(1, 1.1) for _ in range(count)]

    variant = ("softmax", "orthogonal", "polynomial", "linear_elu")[number % 4]
    mode = ("forward", "training")[number // 4 % 2]
    spec = make_spec(variant=variant, mode=mode, seq_len=128 << number // 8 % 9, seed=_SEED)
    timed, anchor = samples(25, 1e-3), samples(25, 2e-3)
    measurements = {
        f"{mode}_s": timed, "anchor_s": anchor, "anchor_ratio": [a / b for a, b in zip(timed, anchor, strict=True)],
        "drift_anchor_s": samples(3, 1e-4), "first_call_s": samples(1, 0.1), "peak_memory_bytes": [828416.0], "theory_bytes": [8e5],
        "peak_rss_bytes": samples(1, 3e8), "flops": [268435456.0], "error": samples(1, 1e-7), "roofline_fraction": samples(1, 0.2),
    }  # fmt: skip
    record = make_record(spec, id=_ID, machine=_MACHINE, session=_SESSION, measurements=measurements, environment=_ENVIRONMENT)
    return dataclasses.replace(
        record,
        clocks={metric: "wall" for metric in measurements if metric.endswith("_s")},
        stages_s={stage: chance.uniform(0.01, 0.3) for stage in _STAGES},
        command=f"attnbench run --rerun --cell '{spec.compact()}'",
    )


if __name__ == "__main__":
    write_store(Path(sys.argv[1]), int(sys.argv[2]))
