"""What was learnt, on the pages: both metrics, rates that were tuned, trials that are no results, failures."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import pytest

from attnbench.analysis.task_metrics import METRICS, UNKNOWN, metric_of
from attnbench.store.facts import APART
from attnbench.store.metrics import RESULTS
from attnbench.store.record import Record
from attnbench.website.groups import Group
from attnbench.website.pages import accuracy, board, board_plots, stacked
from attnbench.website.publish import render
from attnbench.website.results import Results
from attnbench.website.tables.checks import Checks
from attnbench.website.tables.learnt import learnt_table
from attnbench.website.tables.table import Table
from attnbench.website.view import Charts, View
from helpers.records import learnt
from helpers.site_records import Files, index_of, record, task_spec, trained, usual
from helpers.site_sources import NO_CLAIMS, SOURCES

GIVEN: dict[str, Any] = {"variant": "softmax", "task": "mnist", "block": "residual", "num_layers": 2, "epochs": 3}


def results_of(records: Sequence[Record]) -> Results:
    return Results(records, SOURCES.declared)


def only_group(records: Sequence[Record]) -> tuple[Results, Group]:
    results = results_of(records)
    (group,) = results.groups("task")
    return results, group


def cells(table: Table) -> dict[str, dict[str, str]]:
    """The text of every cell, with small type and reason, by variant and column; a failure spans the columns after its own."""
    titles = [column.title for column in table.columns]
    rows = [
        {title: " ".join(filter(None, [str(cell.text), cell.small, *cell.more[:1]])) for title, cell in zip(titles, row, strict=False)}
        for row in table.rows
    ]
    return {row["Variant"]: row for row in rows}


def test_every_metric_of_tasks_can_be_shown_and_has_its_direction() -> None:
    assert tuple(METRICS) == RESULTS
    assert [metric.more_is_better for metric in METRICS.values()] == [True, False]
    assert METRICS["bits_per_byte"].told(2.34567) == "2.346 bits/byte"
    assert metric_of([record(task_spec(**GIVEN, lr=0.1), "error")]) is UNKNOWN


def test_seeds_of_which_some_learned_are_shown_one_by_one_and_no_mean_is_given() -> None:
    of = {"softmax": (0.9, 0.89, 0.88), "orthogonal": (0.9, 0.11, 0.88)}
    records = [learnt(name, seed, mean, task="mnist") for name, means in of.items() for seed, mean in enumerate(means)]
    results, group = only_group([with_chance(r, 0.1) for r in records])
    table = learnt_table(results, group)
    shown = cells(table)
    assert shown["orthogonal"]["Test accuracy"] == "11.0\u2009%, 88.0\u2009%, 90.0\u2009% seeds, no mean"
    assert shown["orthogonal"]["95 % interval"] == "seeds in groups" and shown["softmax"]["Test accuracy"] == "89.0\u2009%"
    data = {row["name"]: row for row in table.data}
    assert data["orthogonal"]["accuracy"] is None and data["orthogonal"]["seeds_in_groups"] is True
    assert data["softmax"]["accuracy"] == pytest.approx(0.89) and data["softmax"]["seeds_in_groups"] is False
    assert any("some learned and some did not" in note for note in table.notes)
    chart = accuracy.seeds_chart(results, group)
    assert chart and [trace["x"] for trace in chart.figure["data"]] == [[0.9, 0.11, 0.88], [0.9, 0.89, 0.88], [pytest.approx(0.89)]]
    unknown = learnt_table(*only_group(records))  # without what knowing nothing gives there is no scale
    assert cells(unknown)["orthogonal"]["Test accuracy"] == "63.0\u2009%"


def test_a_task_that_all_solve_says_so() -> None:
    for best, expected in ((0.9999, True), (0.99, False)):
        records = [learnt(name, seed, best, task="mqar") for name in ("softmax", "orthogonal") for seed in range(3)]
        for beside in ([], [learnt("uniform", seed, 0.03, task="mqar") for seed in range(3)]):
            notes = learnt_table(*only_group([*records, *beside])).notes
            assert any("no part in average ranks" in note for note in notes) is expected, "a control beside them changes nothing"


def with_chance(record: Record, share: float) -> Record:
    return dataclasses.replace(record, measurements={**record.measurements, "majority_share": [share]})


def test_fewer_bits_rank_first_and_more_accuracy_does(usual_results: Results) -> None:
    tables = {str(group.records[0].spec.task): learnt_table(usual_results, group) for group in usual_results.groups("task")[:3]}
    assert tables["sotu_lm"].columns[2].title == "Test bits per byte"
    for task in ("mnist", "sotu_lm"):
        found = cells(tables[task])
        assert list(found)[-1] == "my_file" and found["my_file"]["Rank"] == "5", task
        assert found["orthogonal"]["Rank"] == "1–2", task
    bits = cells(tables["sotu_lm"])["softmax"]
    assert re.fullmatch(r"2\.\d{3}", bits["Test bits per byte"])
    assert re.fullmatch(r"\[2\.\d{3}, 2\.\d{3}\]", bits["95 % interval"])


def test_a_setting_is_one_whatever_rate_was_chosen_and_shows_it() -> None:
    spec = task_spec(**GIVEN, lr_grid="0.001 0.003")
    records = [trained(dataclasses.replace(spec, variant=name, lr=lr)) for name, lr in (("softmax", 1e-3), ("orthogonal", 3e-3))]
    records.append(record(dataclasses.replace(spec, variant="polynomial"), "skipped", reason="no rate could be tried"))
    results, group = only_group(records)
    assert "lr chosen from 0.001, 0.003" in group.title
    found = cells(learnt_table(results, group))
    assert (found["softmax"]["Rate"], found["orthogonal"]["Rate"]) == ("0.001 (edge)", "0.003 (edge)")
    assert found["polynomial"]["Test accuracy"] == "skipped no rate could be tried"
    render(records, NO_CLAIMS)


def test_given_rates_are_settings_of_their_own() -> None:
    records = [trained(task_spec(**GIVEN, lr=lr)) for lr in (1e-3, 3e-3)]
    results = results_of(records)
    titles = [group.title for group in results.groups("task")]
    assert [title.split(", ")[-3] for title in titles] == ["lr 0.001", "lr 0.003"]
    assert all("Rate" not in cells(learnt_table(results, group))["softmax"] for group in results.groups("task"))


def test_a_rate_tuned_again_takes_the_place_of_the_first() -> None:
    spec = task_spec(**GIVEN, lr_grid="0.001 0.003")
    none = record(spec, "skipped", started_at="2026-11-22T05:00:00Z")
    first = trained(dataclasses.replace(spec, lr=1e-3))
    again = dataclasses.replace(trained(dataclasses.replace(spec, lr=3e-3)), started_at="2026-11-23T06:00:00Z", session="later")
    _, group = only_group([none, again, first])
    assert group.records == (again,)


def test_a_target_that_is_not_reached_is_never_reached() -> None:
    seeds = [trained(task_spec(**{**GIVEN, "variant": "my_file"}, lr=3e-3, seed=seed)) for seed in range(2)]
    some = [trained(task_spec(**GIVEN, lr=3e-3, seed=seed)) for seed in range(3)]
    found = cells(learnt_table(*only_group([*seeds, *some])))
    assert found["my_file"]["To target"] == "never"
    assert re.fullmatch(r"[\d.]+\u2009s 1 of 3 never", found["softmax"]["To target"])
    assert found["softmax"]["Parameters"] == "100,000 +0"


def test_blocks_and_depths_stand_side_by_side(usual_results: Results) -> None:
    (view,) = stacked.views(usual_results)
    table, charts = view.blocks
    assert isinstance(table, Table) and isinstance(charts, Charts)
    found = cells(table)
    assert list(found["softmax"])[1:] == ["residual, 2 layers", "skipless, 6 layers", "skipless, 12 layers"]
    assert found["orthogonal"]["residual, 2 layers"].endswith("undecided")
    assert found["orthogonal"]["skipless, 12 layers"].endswith("better")
    assert found["polynomial"]["skipless, 6 layers"].endswith("worse")
    assert found["softmax_math"]["skipless, 6 layers"].startswith("skipped")
    assert [chart.title for chart in charts.charts] == ["Test accuracy, residual, 3 epochs", "Test accuracy, skipless, 2 epochs"]
    ranges = [(chart.figure["layout"]["xaxis"]["range"], chart.figure["layout"]["yaxis"]["range"]) for chart in charts.charts]
    assert ranges[0] == ranges[1]


def test_fewer_bits_are_better_beside_softmax_and_one_seed_decides_nothing() -> None:
    given: dict[str, Any] = {**GIVEN, "task": "sotu_lm", "lr": 3e-3}
    records = [
        trained(task_spec(**{**given, "variant": variant, "num_layers": layers, "seed": seed}))
        for variant in ("softmax", "my_file")
        for layers, seeds in ((2, 3), (4, 1))
        for seed in range(seeds)
    ]
    (view,) = stacked.views(results_of(records))
    assert isinstance(view.blocks[0], Table)
    mine = cells(view.blocks[0])["my_file"]
    assert mine["residual, 2 layers"].endswith("worse")
    assert mine["residual, 4 layers"].endswith("1 seed, undecided")


def test_the_kernel_board_shows_the_mean_task_rank_with_its_range() -> None:
    """Two bidirectional tasks have three seeds, two mechanisms tie on both, and of five no two are a critical difference (4.3) apart."""
    names = ("softmax", "softmax_math", "orthogonal", "polynomial", "my_file")
    masked = [
        trained(task_spec(**{**GIVEN, "variant": v, "task": "sotu_mlm", "data": "x"}, lr=3e-3, seed=n)) for v in names for n in range(3)
    ]
    view = board.views(results_of([*usual(), *masked]), Checks([]))[0]
    table = view.blocks[0]
    assert isinstance(table, Table)
    given = {"orthogonal": 1.25, "softmax": 2.0, "softmax_math": 2.75, "polynomial": 4.0, "my_file": 5.0}
    assert {name: row["Task rank"] for name, row in cells(table).items()} == {name: f"{mean:.1f} (1–5)" for name, mean in given.items()}
    assert {row["name"]: row["mean_task_rank"] for row in table.data} == given
    (column,) = (column for column in table.columns if column.title == "Task rank")
    (timed,) = (axis.label for axis in view.axes if axis.name == "seq_len")
    assert column.small == "at N 49 to 64"
    assert f"Task ranks are of tasks at N 49 to 64; the times are at N {timed}." in table.notes
    told = {row[[column.title for column in table.columns].index("Task rank")].title for row in table.rows}
    assert told == {"average rank over mnist (embedded:06bf3045), sotu_mlm (x), residual models"}


@pytest.mark.parametrize(("other", "is_lacking"), [("sigmoid", True), ("uniform", False)])
def test_the_kernel_board_does_not_ask_for_the_task_rank_of_a_control(other: str, is_lacking: bool) -> None:
    """A mechanism without trainings lacks a task rank that they would give it; a control would have none with them either."""
    names = ("softmax", "softmax_math", "orthogonal", "polynomial", "my_file")
    masked = [
        trained(task_spec(**{**GIVEN, "variant": v, "task": "sotu_mlm", "data": "x"}, lr=3e-3, seed=n)) for v in names for n in range(3)
    ]
    timed = [one for one in usual() if one.spec.track == "kernel" and one.spec.variant == "softmax"]
    beside = [dataclasses.replace(one, spec=dataclasses.replace(one.spec, variant=other)) for one in timed]
    table = board.views(results_of([*usual(), *masked, *beside]), Checks([]))[0].blocks[0]
    assert isinstance(table, Table)
    assert cells(table)[other]["Task rank"] == "–"
    assert any("3 seeds of too few tasks" in note for note in table.notes) is is_lacking


def test_the_metric_of_every_task_is_named(usual_results: Results) -> None:
    groups = usual_results.groups("task")
    titles = {str(group.records[0].spec.task): learnt_table(usual_results, group).columns[2].title for group in groups}
    assert titles == {"mnist": "Test accuracy", "sotu_era": "Test accuracy", "sotu_lm": "Test bits per byte"}


def test_views_of_tasks_differ_in_axes_that_a_reader_knows(usual_results: Results, usual: Files) -> None:
    def last_axes(views: Sequence[View]) -> set[tuple[str, ...]]:
        return {tuple(axis.name for axis in view.axes[-12:]) for view in views}

    own = ("task", "block", "num_layers", "token_shift", "init_norm", "positions", "protocol", "weight_decay", "test_seq_len", "recipe")
    expected = {("torch", "causal", *own)}
    assert last_axes(accuracy.views(usual_results)) == expected
    assert last_axes([view for view in board_plots.views(usual_results) if view.axes[0].value == "task"]) == expected
    names = [axis["name"] for axis in index_of(usual, "accuracy")["axes"]]
    told = ["hardware", "device", "threads", "dtype", "torch", "task", "causal", "block", "num_layers"]
    assert names == [*told, "token_shift", "init_norm", "positions", "weight_decay", "test_seq_len", "protocol", "recipe"]


def test_mixed_precision_is_said() -> None:
    _, group = only_group([trained(task_spec(**GIVEN, lr=3e-3, dtype="bfloat16"))])
    assert group.title.endswith("mixed precision")


def test_the_first_machines_training_runs_come_first_and_tables_say_how_training_was_timed() -> None:
    old = [learnt(name, 0, 0.9, task="mnist") for name in ("softmax", "orthogonal")]
    old = [dataclasses.replace(one, measurements={**one.measurements, "train_s": [9.0]}) for one in old]
    facts = {"torch": "2.13.0", "threads": 1, "architecture": "x86_64", "timing": APART}
    new = [
        dataclasses.replace(one, machine="mine", environment=facts, measurements={"accuracy": [0.9], "steps": [100.0], **more})
        for one, more in zip(old, ({"steps_to_target": [50.0]}, {}), strict=True)
    ]
    results = Results([*old, *new], SOURCES.declared, first="mine")
    first, second = results.groups("task")
    assert (first.machine, second.machine) == ("any x86_64", "desk")
    tables = [learnt_table(results, group) for group in (first, second)]
    assert "No times: no machine has timed a training step of these models yet (the step track)." in tables[0].notes
    assert "Older records: training was timed as it ran, on desk, with all its threads." in tables[1].notes
    reached = {label: row["To target"] for label, row in cells(tables[0]).items()}
    assert reached["orthogonal"] == "never" != reached["softmax"], "what was reached, at a time that is not known, is no never"
