"""The tables of a fixed set of records as text; `make goldens` writes them anew, to be looked at before a commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pandas as pd

from attnbench.analysis import frontiers, overall, ranking, scaling
from attnbench.analysis.frame import frame
from attnbench.store.facts import APART, TIMING
from attnbench.store.record import Record
from helpers import site_records
from helpers.paths import FIXTURES
from helpers.records import make_spec

FOLDER = FIXTURES / "tables"
LENGTHS = (128, 256, 512, 1024, 2048, 4096)


def records() -> list[Record]:
    """What readers meet, and a setting by the present rule of timing: six lengths, three processes, a cell that drifted, one disturbed;
    and training runs of one thread on two machines, with steps that were timed on one."""
    return [*site_records.usual(), *_settled(), *_trained()]


def _settled() -> Iterator[Record]:
    settled = {**site_records.ENVIRONMENT, "timing": TIMING}
    for place, (variant, power) in enumerate((("softmax", 2.0), ("softmax_math", 2.02), ("orthogonal", 1.1))):
        for seq_len in LENGTHS:
            for seed in range(3):
                spec = make_spec(variant=variant, seq_len=seq_len, head_dim=32, seed=seed)
                middle = 1e-9 * seq_len**power * (1000 if variant == "orthogonal" else 1) * (1 + 0.01 * ((7 * seed + place) % 5))
                beside = [1e-9 * seq_len**2 * (1 + 0.004 * (i % 3) + 0.01 * place) for i in range(12)]
                own = site_records.samples(middle)
                changed = 1.5 if (variant, seq_len, seed) == ("orthogonal", 4096, 1) else 1.0
                times = {"forward_s": own, "anchor_s": beside, "anchor_ratio": [a / b for a, b in zip(own, beside, strict=True)]}
                more = {"drift_anchor_s": [5e-3] * 3 + [5e-3 * changed] * 3, "peak_memory_bytes": [1000.0 * seq_len**power]}
                busy = {"other_load": 0.6} if (variant, seq_len) == ("softmax_math", 512) else {}
                yield site_records.record(spec, measurements={**times, **more}, environment={**settled, **busy})


def _trained() -> Iterator[Record]:
    model = {"task": "mnist", "data": "embedded:1", "block": "residual", "num_layers": 2, "batch_size": 32, "seq_len": None}
    for place, variant in enumerate(("softmax", "orthogonal")):
        for seed in range(3):
            spec = make_spec(variant=variant, track="task", mode="training", epochs=2, lr=1e-3, seed=seed, **model)
            learnt = {"accuracy": [0.8 + 0.05 * place + 0.01 * seed], "steps": [200.0], "peak_memory_bytes": [1e6 * (1 + place)]}
            reached = {"steps_to_target": [100.0]} if seed else {}
            facts = {**site_records.ENVIRONMENT, "threads": 1, "architecture": "x86_64", "timing": APART}
            machine = ("desk", "laptop")[seed % 2]
            yield site_records.record(spec, machine=machine, measurements={**learnt, **reached}, environment=facts)
            step = make_spec(variant=variant, track="step", mode="training", seed=seed, **model)
            times = {"training_s": site_records.samples(0.01 * (1 + place) * (1 + 0.01 * seed)), "peak_memory_bytes": [1e6]}
            timed = {**site_records.ENVIRONMENT, "timing": TIMING, "architecture": "x86_64"}
            yield site_records.record(step, machine="desk", measurements={**times, "drift_anchor_s": [5e-3] * 6}, environment=timed)


def tables(given: Iterable[Record]) -> dict[str, str]:
    """Every table by name, as CSV; numbers to nine digits, which all platforms agree on."""
    table = frame(given)
    found = {f"{what}_{track}": ranking.ranking(table, what, track) for what, tracks in ranking.TRACKS.items() for track in tracks}
    for what in ("time", "memory"):
        for track in ("kernel", "depth"):
            found[f"growth_{what}_{track}"] = scaling.growth(table, what, track)
            found[f"crossovers_{what}_{track}"] = scaling.crossovers(table, what, track)
    found["feasible_time"] = scaling.feasible(table, "time", 0.05)
    found["feasible_memory"] = scaling.feasible(table, "memory", 1e9)
    found["profile"] = overall.profile(table, "training")
    found["frontiers_time"] = frontiers.frontiers(table)
    found["frontiers_memory"] = frontiers.frontiers(table, "memory")
    found["time_to_target"] = overall.time_to_target(table)
    found["task_ranks"] = pd.DataFrame(
        [vars(aggregate) | {"found": aggregate.found is not None} for aggregate in overall.task_ranks(table)]
    )
    return {name: of.to_csv(index=False, float_format="%.9g", lineterminator="\n") for name, of in found.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in tables(records()).items():
        (FOLDER / f"{name}.csv").write_text(text, encoding="utf-8")
