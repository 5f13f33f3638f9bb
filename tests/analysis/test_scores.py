"""Scores of a setting: by blocks of test rows where all runs have them, by seeds alone where one has not; and what they order."""

from __future__ import annotations

import dataclasses
import random

import pytest

from attnbench.analysis.frame import frame
from attnbench.analysis.labels import Labels
from attnbench.analysis.ranking import ranking
from attnbench.analysis.standings import Standings
from attnbench.store.record import Record
from helpers.records import learnt

ASKED = [30.0, 20.0, 50.0, 25.0] * 5


def blocked(variant: str, seed: int, accuracy: float, noise: float = 0.02, **fields: object) -> Record:
    """A run with its accuracy in each of twenty blocks, which adds up to that of the whole part."""
    chance = random.Random(f"{variant} {seed}")
    by_block = [accuracy + chance.gauss(0.0, noise) for _ in ASKED]
    whole = sum(value * asked for value, asked in zip(by_block, ASKED, strict=True)) / sum(ASKED)
    record = learnt(variant, seed, whole, **fields)
    return dataclasses.replace(record, measurements={**record.measurements, "accuracy_by_block": by_block, "asked_by_block": ASKED})


def rows(records: list[Record]) -> dict[str, tuple[float, float, float]]:
    """First and last rank, and the width of the interval, by label."""
    table = ranking(frame(records), "result", "task")
    return {row.label: (row.rank_low, row.rank_high, row.high - row.low) for row in table.itertuples()}


def test_what_rows_of_the_test_part_were_drawn_is_in_the_interval() -> None:
    """Blocks differ much where seeds hardly do: without them the mean would seem known."""
    seeds = range(5)
    hard = [0.2 * (number % 2) for number in range(len(ASKED))]
    wide = []
    for seed in seeds:
        record = blocked("softmax", seed, 0.6, noise=1e-4)
        by_block = [value - by for value, by in zip(record.measurements["accuracy_by_block"], hard, strict=True)]
        whole = sum(value * asked for value, asked in zip(by_block, ASKED, strict=True)) / sum(ASKED)
        more = {"accuracy": [whole], "accuracy_by_block": by_block}
        wide.append(dataclasses.replace(record, measurements={**record.measurements, **more}))
    narrow = [dataclasses.replace(r, measurements={"accuracy": r.measurements["accuracy"]}) for r in wide]
    assert rows(wide)["softmax"][2] > 10 * rows(narrow)["softmax"][2]


def test_two_mechanisms_that_find_other_rows_hard_are_told_apart_the_later() -> None:
    seeds = range(5)

    def other(seed: int) -> Record:
        record = blocked("orthogonal", seed, 0.62, noise=1e-3)
        by_block = [value + 0.3 * (number % 2 - 0.5) for number, value in enumerate(record.measurements["accuracy_by_block"])]
        whole = sum(value * asked for value, asked in zip(by_block, ASKED, strict=True)) / sum(ASKED)
        return dataclasses.replace(record, measurements={**record.measurements, "accuracy": [whole], "accuracy_by_block": by_block})

    records = [*(blocked("softmax", seed, 0.6, noise=1e-3) for seed in seeds), *map(other, seeds)]
    assert rows(records)["softmax"][:2] == rows(records)["orthogonal"][:2] == (1, 2)
    alike = [blocked(name, seed, x, noise=1e-3) for name, x in (("softmax", 0.6), ("orthogonal", 0.62)) for seed in seeds]
    assert rows(alike)["orthogonal"][:2] == (1, 1)


@pytest.mark.parametrize("damage", [{}, {"asked_by_block": [1.0]}, {"accuracy_by_block": [0.5]}, {"asked_by_block": []}])
def test_where_one_run_lacks_its_blocks_all_are_compared_by_seeds(damage: dict[str, list[float]]) -> None:
    records = [blocked(name, seed, 0.6) for name in ("softmax", "orthogonal") for seed in range(3)]
    kept = {} if damage else {name: of for name, of in records[0].measurements.items() if "by_block" not in name}
    broken = dataclasses.replace(records[0], measurements={**(records[0].measurements if damage else kept), **damage})
    if not damage:
        broken = dataclasses.replace(broken, measurements={"accuracy": records[0].measurements["accuracy"]})
    whole = [dataclasses.replace(r, measurements={"accuracy": r.measurements["accuracy"]}) for r in records]
    assert rows([broken, *records[1:]]) == rows(whole)


def test_the_resolution_of_a_table_is_how_far_softmax_lies_from_itself() -> None:
    records = [blocked(name, seed, 0.6 + 0.01 * (seed % 3)) for name in ("softmax", "orthogonal") for seed in range(5)]
    standings = Standings(frame(records), Labels([], {}))
    half = standings.half_width(records[0])
    assert half is not None and 0.005 < half < 0.05
    few = [record for record in records if record.spec.variant == "softmax" and record.spec.seed == 0]
    assert Standings(frame(few), Labels([], {})).half_width(few[0]) is None
    without = [record for record in records if record.spec.variant != "softmax"]
    assert Standings(frame(without), Labels([], {})).half_width(without[0]) is None
