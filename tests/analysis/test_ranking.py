"""Ranking tables: their rules on what is missing or never mixed, and the same bytes from the same records."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attnbench.analysis.codes import codes
from attnbench.analysis.frame import frame
from attnbench.analysis.ranking import COLUMNS, ranking, rankings
from attnbench.analysis.settings import SETTING, grouped
from attnbench.errors import BadInput
from attnbench.store.record import PYTEST_BENCHMARK, Origin, Record
from helpers.golden_tables import FOLDER, tables
from helpers.golden_tables import records as golden_records
from helpers.records import learnt, make_record, make_spec, timed


def ranked(records: list[Record], what: str = "time", track: str = "kernel") -> pd.DataFrame:
    return ranking(frame(records), what, track).set_index("label")  # type: ignore[arg-type]


def places(table: pd.DataFrame) -> dict[str, tuple[Any, Any]]:
    return {str(label): (row.rank_low, row.rank_high) for label, row in table.iterrows()}


def test_what_the_samples_cannot_tell_apart_shares_its_ranks() -> None:
    table = ranked([timed("softmax", 1.0), timed("orthogonal", 1.01), timed("polynomial", 2.0)])
    assert list(table.reset_index().columns) == ["label", *SETTING["kernel"], *COLUMNS[1:]]
    assert places(table) == {"orthogonal": (1, 2), "softmax": (1, 2), "polynomial": (3, 3)}
    assert table.ties.to_dict() == {"orthogonal": ("softmax",), "softmax": ("orthogonal",), "polynomial": ()}
    assert set(table.metric) == {"softmax_ratio"}
    row = table.loc["polynomial"]
    assert row.low < row.value < row.high and row.value == pytest.approx(2, rel=0.02)
    assert (row.samples, row.records, row.confidence) == (25, 1, 0.95)
    assert row.seconds_low < row.seconds < row.seconds_high and row.seconds == pytest.approx(2, rel=0.02)


def test_seconds_rank_where_one_mechanism_has_no_ratio() -> None:
    alone = timed("orthogonal", 1.0, session="other", measurements={"forward_s": [1.0] * 10, "drift_anchor_s": [1e-3]})
    table = ranked([timed("softmax", 2.0), alone])
    assert set(table.metric) == {"forward_s"} and places(table) == {"orthogonal": (1, 1), "softmax": (2, 2)}


def test_processes_of_one_mechanism_are_taken_together() -> None:
    table = ranked([timed("softmax", 1.0, seed=seed) for seed in range(3)])
    assert (table.loc["softmax"].samples, table.loc["softmax"].records) == (75, 3)


@pytest.mark.parametrize("status", ["oom", "timeout", "error", "incorrect", "skipped", "unavailable"])
def test_what_failed_is_listed_with_its_reason_and_has_no_rank(status: Any) -> None:
    failed = make_record(make_spec(variant="polynomial"), status=status, reason="too big\nby far", measurements={})
    table = ranked([timed("softmax", 1.0), timed("orthogonal", 2.0), failed])
    row = table.loc["polynomial"]
    assert (row.status, row.why) == (status, "too big") and np.isnan(row.rank_low) and np.isnan(row.value)
    assert places(table.drop("polynomial")) == {"softmax": (1, 1), "orthogonal": (2, 2)}
    assert list(table.index)[-1] == "polynomial"


def test_a_mechanism_one_of_whose_seeds_failed_is_shown_and_not_ranked() -> None:
    seeds = [learnt(name, seed, 0.9 - 0.3 * (name == "softmax") + 0.001 * seed) for name in ("softmax", "orthogonal") for seed in range(3)]
    broken = dataclasses.replace(seeds[-1], status="timeout", reason="600 s were not enough", measurements={})
    whole, cut = ranked(seeds, "result", "task"), ranked([*seeds[:-1], broken], "result", "task")
    assert places(whole) == {"orthogonal": (1, 1), "softmax": (2, 2)}
    row = cut.loc["orthogonal"]
    assert np.isnan(row.rank_low) and row.status == "timeout" and "600 s" in row.why and row.records == 2 and row.value > 0.89
    assert places(cut)["softmax"] == (1, 1)


def test_seeds_of_two_mechanisms_are_not_paired() -> None:
    """The same seed of another mechanism is another draw: which seeds there are does not matter, and how many does."""
    records = [learnt("orthogonal", seed, 0.9) for seed in range(3)] + [learnt("softmax", seed, 0.2 + 0.01 * seed) for seed in (0, 7, 8)]
    assert places(ranked(records, "result", "task")) == {"orthogonal": (1, 1), "softmax": (2, 2)}
    assert set(places(ranked([records[0], *records[3:4]], "result", "task")).values()) == {(1, 2)}  # of one each nothing is known


def test_results_are_ranked_by_test_metric_the_right_way_round() -> None:
    records = [
        learnt(name, seed, 0.5 + 0.2 * (name == "softmax") + 0.001 * seed) for name in ("softmax", "orthogonal") for seed in range(3)
    ]
    assert places(ranked(records, "result", "task"))["softmax"] == (1, 1)
    bits = [dataclasses.replace(r, measurements={"bits_per_byte": r.measurements["accuracy"]}) for r in records]
    assert places(ranked(bits, "result", "task"))["softmax"] == (2, 2)


def test_one_seed_or_one_sample_is_ordered_against_nothing() -> None:
    """It says nothing of its own spread, however far off it is."""
    records = [learnt(name, seed, mean) for name, mean in (("softmax", 0.9), ("orthogonal", 0.5)) for seed in range(3)]
    table = ranked([*records, learnt("gated", 0, 0.1)], "result", "task")
    assert places(table) == {"softmax": (1, 2), "gated": (1, 3), "orthogonal": (2, 3)}
    assert table.loc["gated"].confidence == 0
    table = ranked([timed("softmax", 1.0, count=1), timed("orthogonal", 9.0), timed("polynomial", 99.0)])
    assert places(table) == {"orthogonal": (1, 2), "softmax": (1, 3), "polynomial": (2, 3)}


def test_memory_is_exact_up_to_a_hundredth() -> None:
    table = ranked([timed("softmax", 1.0), timed("orthogonal", 1.005), timed("polynomial", 1.02)], "memory")
    assert places(table) == {"orthogonal": (1, 2), "softmax": (1, 2), "polynomial": (3, 3)}


def test_times_of_a_disturbed_cell_do_not_rank_but_its_memory_does() -> None:
    records = [
        timed("softmax", 2.0),
        timed("polynomial", 3.0),
        timed("orthogonal", 1.0, environment={"torch": "2.13.0", "other_load": 0.97}),
    ]
    table = ranked(records)
    assert table.loc["orthogonal"].why.startswith("flagged: other processes used 0.97 of a core")
    assert places(table.drop("orthogonal")) == {"softmax": (1, 1), "polynomial": (2, 2)}
    assert places(ranked(records, "memory"))["orthogonal"] == (1, 1)


@pytest.mark.parametrize(
    "apart",
    [
        {"machine": "other"}, {"dtype": "bfloat16"}, {"device": "cuda"}, {"environment": {"torch": "2.11.0"}},
        {"environment": {"torch": "2.13.0", "threads": 2}},
    ],
)  # fmt: skip
def test_what_differs_in_hardware_or_software_is_never_mixed(apart: dict[str, Any]) -> None:
    table = ranking(frame([timed("softmax", 1.0), timed("orthogonal", 9.0, **apart)]), "time", "kernel")
    assert table.rank_high.tolist() == [1, 1]
    assert len(set(codes(table, SETTING["kernel"]).tolist())) == 2


ONE = {"environment": {"torch": "2.13.0", "threads": 1}}
TWO = {"environment": {"torch": "2.13.0", "threads": 2}}
HALF = {"environment": {"torch": "2.13.0", "threads": 1, "processor_quota": 0.5}}
H100 = {"device": "cuda", "environment": {"torch": "2.13.0", "threads": 2, "gpu": "NVIDIA H100"}}
A100 = {"device": "cuda", "environment": {"torch": "2.13.0", "threads": 2, "gpu": "NVIDIA A100"}}


@pytest.mark.parametrize(("one", "other"), [(ONE, TWO), (ONE, HALF), (H100, A100)])
def test_parts_of_one_machine_have_tables_of_their_own(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Each with both mechanisms, of which the newest in that part counts."""
    records = [timed("softmax", 1.0, **one), timed("orthogonal", 9.0, **one)]
    records += [timed("softmax", 2.0, session="z", **other), timed("orthogonal", 3.0, session="z", **other)]
    table = ranking(frame(records), "time", "kernel")
    assert sorted(zip(table["label"], table["rank_low"], strict=True)) == [("orthogonal", 2)] * 2 + [("softmax", 1)] * 2
    assert sorted(table["seconds"].round()) == [1, 2, 3, 9] and sorted(table["value"]) == pytest.approx([1, 1, 1.5, 9], rel=0.02)
    assert len(grouped(records)) == 2


@pytest.mark.parametrize("apart", [{"data": "hub:00000000"}, {"data": "embedded:11111111"}, {"epochs": 2}, {"lr": 0.2}, {"num_layers": 4}])
def test_results_on_other_data_or_by_another_recipe_are_never_mixed(apart: dict[str, Any]) -> None:
    records = [learnt("softmax", seed, 0.9 + seed / 1e3) for seed in range(3)]
    records += [learnt("orthogonal", seed, 0.5 + seed / 1e3, **apart) for seed in range(3)]
    table = ranking(frame(records), "result", "task")
    assert table.rank_high.tolist() == [1, 1]


def test_trials_and_older_records_of_a_cell_are_left_out() -> None:
    trial = learnt("softmax", 1000, 0.1, evaluate="validation", measurements={"validation_accuracy": [0.1]})
    assert len(ranking(frame([trial]), "result", "task")) == 0
    old, new = timed("softmax", 5.0, started_at="2026-01-01T00:00:00Z"), timed("softmax", 1.0, session="later")
    (row,) = ranking(frame([new, old]), "time", "kernel").itertuples()
    assert row.seconds == pytest.approx(1, rel=0.03)


def test_parameters_that_are_unusual_make_a_mechanism_of_their_own() -> None:
    usual, other = {"degree": 3, "scale": "sqrt"}, {"degree": 3, "scale": 1.0}
    table = ranked([timed("polynomial", 1.0, params=usual), timed("polynomial", 2.0, params=other)])
    assert places(table) == {"polynomial": (1, 1), "polynomial(scale=1)": (2, 2)}


def test_every_table_of_a_track_is_made_in_one_pass() -> None:
    table = frame([timed("softmax", 1.0), timed("orthogonal", 2.0), learnt("softmax", 0, 0.9)])
    for track, whats in (("kernel", ["time", "memory"]), ("task", ["memory", "result"])):
        found = rankings(table, track)
        assert list(found) == whats
        assert all(of.equals(ranking(table, what, track)) for what, of in found.items())


def test_an_imported_time_never_takes_the_place_of_a_full_record() -> None:
    later = {"started_at": "2027-01-01T00:00:00Z", "session": "import", "origin": Origin(by=PYTEST_BENCHMARK)}
    imported = timed("softmax", 9.0, **later, measurements={"forward_s": [9.0] * 9})
    for records in ([timed("softmax", 1.0), imported], [imported, timed("softmax", 1.0)]):
        (row,) = ranking(frame(records), "memory", "kernel").itertuples()
        assert row.value == 1000
    alone = ranked([imported, timed("orthogonal", 1.0)])
    assert "flagged" in alone.loc["softmax"].why and set(alone.metric) == {"softmax_ratio"}  # what has no rank changes nobody's metric


def test_one_seed_counts_once_however_its_parameters_were_written() -> None:
    """A default that a variant gained later makes another cell of the same run."""
    records = [learnt("orthogonal", seed, 0.5 + seed / 100) for seed in range(3)]
    again = [
        dataclasses.replace(learnt("orthogonal", seed, 0.9 + seed / 100), session="later", started_at="2027-01-01T00:00:00Z")
        for seed in range(3)
    ]
    again = [dataclasses.replace(r, spec=dataclasses.replace(r.spec, params={"alpha": None})) for r in again]
    again = [dataclasses.replace(r, id=r.spec.key()) for r in again]
    (row,) = ranking(frame([*records, *again]), "result", "task").itertuples()
    assert (row.samples, row.value) == (3, pytest.approx(0.91))


def test_a_track_that_has_no_such_table_is_refused() -> None:
    with pytest.raises(BadInput, match="unknown track 'task'"):
        ranking(frame([]), "time", "task")
    assert len(ranking(frame([]), "time", "kernel")) == 0


@pytest.mark.parametrize("name", sorted(file.stem for file in FOLDER.glob("*.csv")))
def test_tables_are_golden(name: str, golden: dict[str, str]) -> None:
    """A change of a table is meant, or it is a fault: look at what `make goldens` writes before it is committed."""
    assert golden[name] == (FOLDER / f"{name}.csv").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def golden() -> dict[str, str]:
    return tables(golden_records())


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_records_changes_nothing(golden: dict[str, str], seed: int) -> None:
    records = golden_records()
    random.Random(seed).shuffle(records)
    assert tables(records) == golden
    assert set(golden) == {file.stem for file in FOLDER.glob("*.csv")}
