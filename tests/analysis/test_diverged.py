"""A seed that diverged: it counts as knowing nothing, in every mean, rank and interval, and its record stays as it is."""

from __future__ import annotations

import dataclasses
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attnbench.analysis.compare import compare
from attnbench.analysis.diverged import NOTHING, diverged_text
from attnbench.analysis.frame import frame
from attnbench.analysis.frontiers import frontiers
from attnbench.analysis.overall import task_ranks
from attnbench.analysis.ranking import ranking
from attnbench.analysis.samples import counted, over_seeds, single, values
from attnbench.analysis.task_metrics import METRICS
from attnbench.claims import _runs
from attnbench.store.record import Record
from helpers.records import learnt

GOOD = {"accuracy": (0.8, 0.81, 0.79, 0.8), "bits_per_byte": (2.0, 2.02, 1.98, 2.0)}
KNOWN = {"accuracy": 0.1, "bits_per_byte": 4.0}
AT_CHANCE = {"accuracy": 0.25, "bits_per_byte": 8.0}  # what is stored of a model whose answers are not finite: all classes alike
METRIC = pytest.mark.parametrize("metric", GOOD)
STORED = pytest.mark.parametrize("is_stored", [True, False])


def run(variant: str, seed: int, measured: dict[str, list[float]], **fields: Any) -> Record:
    record = learnt(variant, seed, 0.0, **fields)
    beside = {name: of for name, of in record.measurements.items() if name != "accuracy"}
    return dataclasses.replace(record, measurements={**beside, "diverged": [0.0], **measured})


def one_of_five(metric: str, is_stored: bool, blocks: int = 0, **fields: Any) -> list[Record]:
    """Five seeds of softmax and of orthogonal, of which orthogonal's last diverged."""
    records = []
    for variant in ("softmax", "orthogonal"):
        for seed, value in enumerate((*GOOD[metric], GOOD[metric][0])):
            lost = (variant, seed) == ("orthogonal", 4)
            value = AT_CHANCE[metric] if lost else value
            told = {metric: [value], **({f"{metric}_by_block": [value] * blocks} if blocks else {})} if is_stored or not lost else {}
            asked = {"asked_by_block": [10.0] * blocks} if blocks else {}
            records.append(run(variant, seed, {NOTHING[metric]: [KNOWN[metric]], "diverged": [float(lost)], **told, **asked}, **fields))
    return records


def rows(records: list[Record]) -> pd.DataFrame:
    return ranking(frame(records), "result", "task").set_index("label")


def test_what_knowing_nothing_gives_has_one_name() -> None:
    assert NOTHING == {name: metric.chance for name, metric in METRICS.items()} == _runs.NOTHING


@METRIC
@STORED
def test_it_counts_in_mean_rank_and_interval(metric: str, is_stored: bool) -> None:
    """One of five: until now without a number it was "not measured", the mean that of the others, and there was no rank."""
    table = rows(one_of_five(metric, is_stored))
    row, beside = table.loc["orthogonal"], table.loc["softmax"]
    mean = fmean((*GOOD[metric], KNOWN[metric]))
    assert row["value"] == pytest.approx(mean) and row["metric"] == metric and pd.isna(row["why"])
    assert (row["rank_low"], row["rank_high"], row["records"], row["samples"]) == (1, 2, 5, 5)
    assert row["notes"] == ("1 of 5 diverged, and knows nothing",) and beside["notes"] == ()
    assert row["high"] - row["low"] > 2 * (beside["high"] - beside["low"])


@METRIC
def test_what_is_stored_of_it_does_not_matter(metric: str) -> None:
    with_it, without = (rows(one_of_five(metric, is_stored)) for is_stored in (True, False))
    pd.testing.assert_frame_equal(with_it, without)


@METRIC
@STORED
def test_in_every_block_of_test_rows_it_knows_nothing(metric: str, is_stored: bool) -> None:
    """It has the blocks of the others, so that rows of the test part count as drawn for all."""
    records = one_of_five(metric, is_stored, blocks=3)
    table = rows(records)
    as_if = [dataclasses.replace(r, measurements={**r.measurements, **_nothing(r, metric, 3)}) for r in records]
    assert table.loc["orthogonal", "value"] == pytest.approx(fmean((*GOOD[metric], KNOWN[metric])))
    pd.testing.assert_frame_equal(table.drop(columns="notes"), rows(as_if).drop(columns="notes"))


def _nothing(record: Record, metric: str, blocks: int) -> dict[str, list[float]]:
    if record.measurements["diverged"] == [0.0]:
        return {}
    return {metric: [KNOWN[metric]], f"{metric}_by_block": [KNOWN[metric]] * blocks, "diverged": [0.0]}


@METRIC
@STORED
def test_it_counts_where_records_are_read_and_stays_in_them_as_it_is(metric: str, is_stored: bool) -> None:
    records = one_of_five(metric, is_stored)
    lost, mine = records[-1], records[5:]
    before = dict(lost.measurements)
    assert single(lost, metric) == KNOWN[metric] and counted(lost, metric) == [KNOWN[metric]]
    found = over_seeds(mine, metric)
    assert found and found[0].value == pytest.approx(fmean((*GOOD[metric], KNOWN[metric]))) and len(found[1]) == 5
    assert values(lost, metric) == ([AT_CHANCE[metric]] if is_stored else []) and lost.measurements == before
    assert diverged_text(mine) == "1 of 5" and diverged_text(records[:5]) == ""
    raw = frame([lost])
    assert raw[(raw["metric"] == metric).to_numpy()]["value"].tolist() == ([AT_CHANCE[metric]] if is_stored else [])


@METRIC
@STORED
def test_it_counts_on_longer_sequences_where_the_mechanism_can_do_these(metric: str, is_stored: bool) -> None:
    name = f"{metric}_at_2x"
    longer = {name: [AT_CHANCE[metric]]} if is_stored else {}
    lost = run("softmax", 0, {NOTHING[metric]: [KNOWN[metric]], "diverged": [1.0], **longer})
    assert counted(lost, name) == ([KNOWN[metric]] if is_stored else [])


def test_what_else_was_measured_of_it_is_left() -> None:
    lost = run("softmax", 0, {"majority_share": [0.1], "diverged": [1.0], "accuracy": [0.25], "validation_accuracy": [0.25]})
    assert single(lost, "validation_accuracy") == 0.25 and single(lost, "peak_memory_bytes") == 1e6


def test_where_knowing_nothing_was_not_measured_its_own_number_counts() -> None:
    assert counted(run("softmax", 0, {"diverged": [1.0], "accuracy": [0.25]}), "accuracy") == [0.25]
    records = [run("softmax", seed, {"diverged": [float(seed == 0)], **({"accuracy": [0.5]} if seed else {})}) for seed in range(3)]
    row = rows(records).loc["softmax"]
    assert row["why"] == "it was not measured here" and np.isnan(row["rank_low"])


def test_a_seed_that_failed_is_no_seed_that_diverged() -> None:
    *records, lost = one_of_five("accuracy", True)
    failed = dataclasses.replace(lost, status="timeout", reason="600 s were not enough", measurements={})
    assert np.isnan(rows([*records, failed]).loc["orthogonal", "rank_low"])


@METRIC
def test_it_counts_in_averages_frontiers_and_comparisons(metric: str) -> None:
    """Frontier and comparison show the median where some seeds learned and some did not."""
    records = [record for task in ("mnist", "sotu_era") for record in one_of_five(metric, False, task=task)]
    table = frame(records)
    (aggregate,) = task_ranks(table)
    assert set(aggregate.labels) == {"softmax", "orthogonal"} and len(aggregate.tasks) == 2
    gains = frontiers(table, "memory").set_index(["task", "label"])["gain"]
    assert gains["mnist", "orthogonal"] == np.median([*GOOD[metric], KNOWN[metric]])
    pairs = [pair for pair in compare(table, "softmax", "orthogonal").pairs if pair.what == "result"]
    assert len(pairs) == 2 and all(pair.difference == "undecided" and pair.b is not None for pair in pairs)
