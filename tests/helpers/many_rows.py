"""A frame of very many rows: every registered mechanism at every length, on as many machines as it takes."""

from __future__ import annotations

import random
from functools import cache

import pandas as pd

import attnbench
from attnbench.analysis.frame import frame
from attnbench.store.record import Record
from helpers.factory import make_record, make_spec

LENGTHS = tuple(128 << k for k in range(9))
SAMPLES = 25


@cache
def many_rows(count: int) -> pd.DataFrame:
    """At least `count` rows, of records with eleven metrics each, and 25 samples of every time."""
    one = frame(_machine())
    copies = -(-count // len(one))
    names = [f"machine{number:04}" for number in range(copies)]
    table = pd.concat([one] * copies, ignore_index=True)
    whose = [name for name in names for _ in range(len(one))]
    return table.assign(machine=pd.array(whose, dtype=one["machine"].dtype))


def _machine() -> list[Record]:
    chance = random.Random(0)

    def samples(middle: float) -> list[float]:
        return [middle * chance.uniform(1, 1.1) for _ in range(SAMPLES)]

    found = []
    for place, variant in enumerate(attnbench.names("variants")):
        for mode in ("forward", "training"):
            for length in LENGTHS:
                cost = 1 + 0.04 * place
                timed = {f"{mode}_s": samples(cost * length * 1e-6), "anchor_ratio": samples(cost), "anchor_s": samples(length * 1e-6)}
                single = {name: [cost * length] for name in ("peak_memory_bytes", "theory_bytes", "flops", "error", "roofline_fraction")}
                more = {"drift_anchor_s": [1e-3] * 6, "first_call_s": [0.1], "peak_rss_bytes": [1e8]}
                spec = make_spec(variant=variant, mode=mode, seq_len=length)
                found.append(make_record(spec, measurements={**timed, **single, **more}))
    return found
