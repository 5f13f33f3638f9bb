"""asv's rows in the frame: face's parameters read back, and only where no record has the cell."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import pytest

import attnbench
from attnbench.analysis import frame
from attnbench.analysis.asv import FLAG, asv_cells
from attnbench.spec.asv_params import values_of
from attnbench.spec.axes import Spec
from attnbench.store.store import Problem, Store
from helpers.command import cli_here
from helpers.damage import damaged_document
from helpers.records import make_record, make_spec

BENCHMARK = {"kernel": "kernel.Kernel.time_call", "depth": "depth.Depth.time_step", "task": "task.Task.time_training"}
TASK = {"track": "task", "task": "mnist", "block": "residual", "num_layers": 2, "epochs": 3, "seq_len": None, "mode": "training"}
BENCHMARKED = {
    BENCHMARK["kernel"]: make_spec(variant="polynomial", params={"degree": 2, "name": "a, b"}),
    BENCHMARK["depth"]: make_spec(track="depth", block="residual", num_layers=4, mode="training"),
    BENCHMARK["task"]: make_spec(**TASK, lr=0.001),
}
JUNE, JULY = 1780272000000, 1782864000000  # milliseconds


def write_asv(results: Path, benchmarks: dict[str, tuple[Spec, Any]], commit: str = "c" * 40, machine: str = "desk", **more: Any) -> Path:
    """asv's file of one commit: of each benchmark one cell and its value."""
    rows = {}
    for name, (spec, value) in benchmarks.items():
        places = [[repr(shown)] for shown in values_of(spec)]
        rows[name] = [[value], places, "2", more.get("started_at", JUNE), 1.0, more.get("samples")]
    columns = ["result", "params", "version", "started_at", "duration", "samples"]
    document = {"version": 2, "commit_hash": commit, "params": {"machine": machine}, "result_columns": columns, "results": rows}
    file = results / "asv" / machine / f"{commit[:8]}-env.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document))
    return file


@pytest.mark.parametrize("name", ["other.Suite.time_call", "kernel.Kernel.time_other"])
def test_what_is_no_benchmark_of_ours_is_left_out(name: str, results: Path) -> None:
    write_asv(results, {name: (make_spec(), 1.0), BENCHMARK["kernel"]: (make_spec(), 0.5)})
    assert [cell.measurements for cell in asv_cells(results / "asv")] == [{"forward_s": [0.5]}]


def test_a_row_of_asvs_has_its_axes_and_nothing_that_asv_does_not_know(results: Path) -> None:
    spec = make_spec(variant="polynomial", seq_len=512, params={"scale": 1.0})
    write_asv(results, {BENCHMARK["kernel"]: (spec, 0.375)}, samples=[[0.25, 0.375, None, 1.0]])
    table = attnbench.load(results)
    assert list(table.columns) == list(frame.COLUMNS)
    (row,) = table.itertuples()
    assert (row.metric, row.unit, row.clock, row.value, row.samples) == ("forward_s", "s", "wall", 0.375, [0.25, 0.375, 1.0])
    assert (row.machine, row.session, row.status, row.trust, row.flagged) == ("desk", "asv", "ok", "self", FLAG)
    assert (row.id, row.cell, row.params) == (spec.key(), spec.key(), {"scale": 1.0})
    assert (row.attnbench_commit, row.started_at) == ("c" * 40, "2026-06-01T00:00:00Z")
    missing = ["fingerprint", "reason", "stage", "duration_s", "torch", "command", "task", "block", "num_layers"]
    assert table[missing].isna().all(axis=None)


def test_every_benchmark_has_its_metric(results: Path) -> None:
    kernel, depth = make_spec(mode="training"), make_spec(track="depth", block="residual", num_layers=4)
    task = make_spec(**TASK, lr=0.001)
    written = [
        (kernel, {"time_call": 0.5, "track_anchor_ratio": 2.0, "track_peak_memory": 4096.0, "track_flops": 1e9}),
        (depth, {"time_step": 0.25, "track_anchor_ratio": 3.0, "track_peak_memory": 512.0, "track_jacobian_condition": 7.0}),
        (task, {"time_training": 9.0, "track_error_rate": 1.0 - 0.93, "track_peak_memory": 64.0}),
    ]
    asked = {}
    for spec, values in written:
        prefix = BENCHMARK[spec.track].rpartition(".")[0]
        asked |= {f"{prefix}.{name}": (spec, value) for name, value in values.items()}
    write_asv(results, asked)
    table = attnbench.load(results)
    found = {track: dict(zip(of.metric, of.value, strict=True)) for track, of in table.groupby("track")}
    assert found == {
        "kernel": {"training_s": 0.5, "anchor_ratio": 2.0, "peak_memory_bytes": 4096.0, "flops": 1e9},
        "depth": {"forward_s": 0.25, "anchor_ratio": 3.0, "peak_memory_bytes": 512.0, "jacobian_condition": 7.0},
        "task": {"train_s": 9.0, "accuracy": 0.93, "peak_memory_bytes": 64.0},
    }


def test_a_cell_that_has_a_record_is_the_records(results: Path) -> None:
    """Whatever the record's status, its default parameters and its data; on another machine asv's row stands."""
    spec = make_spec(**TASK, lr_grid="0.001 0.003")
    Store(results).append(
        make_record(
            dataclasses.replace(spec, lr=0.003, params={"alpha": None}, data="embedded:1a2b3c4d"), status="oom", reason="x", measurements={}
        )
    )
    write_asv(results, {BENCHMARK["task"]: (spec, 9.0)})
    write_asv(results, {BENCHMARK["task"]: (spec, 8.0)}, machine="laptop")
    table = attnbench.load(results)
    assert table.machine.tolist() == ["desk", "laptop"]
    assert table.session.tolist()[1] == "asv"


@pytest.mark.parametrize(
    "other",
    [
        {"variant": "orthogonal"}, {"mode": "training"}, {"causal": True}, {"seq_len": 512}, {"seed": 1}, {"device": "cuda"},
        {"dtype": "bfloat16"}, {"batch_size": 2}, {"num_heads": 2}, {"head_dim": 32},
    ],
)  # fmt: skip
def test_a_record_of_another_cell_leaves_asvs_row(results: Path, other: dict[str, Any]) -> None:
    Store(results).append(make_record(make_spec(**other)))
    write_asv(results, {BENCHMARK["kernel"]: (make_spec(), 0.5)})
    assert "asv" in set(attnbench.load(results).session)


@pytest.mark.parametrize(
    "other",
    [
        {"lr": 0.003}, {"epochs": 4}, {"seed": 1}, {"num_layers": 3}, {"block": "skipless"}, {"task": "digits"}, {"causal": True},
        {"lr_grid": "0.001"}, {"evaluate": "validation"},
    ],
)  # fmt: skip
def test_a_record_of_another_training_leaves_asvs_row(results: Path, other: dict[str, Any]) -> None:
    Store(results).append(make_record(make_spec(**{**TASK, "lr": 0.001, **other})))
    write_asv(results, {BENCHMARK["task"]: (make_spec(**TASK, lr=0.001), 9.0)})
    assert "asv" in set(attnbench.load(results).session)


def test_of_two_cells_that_differ_in_parameters_a_record_is_of_the_one_it_fits(results: Path) -> None:
    plain = make_spec(variant="polynomial")
    scaled = dataclasses.replace(plain, params={"scale": 1.0})
    write_asv(results, {BENCHMARK["kernel"]: (plain, 0.5)}, commit="a" * 40)
    write_asv(results, {BENCHMARK["kernel"]: (scaled, 0.25)}, commit="b" * 40)
    Store(results).append(make_record(dataclasses.replace(plain, params={"degree": 3, "scale": 1.0})))
    table = attnbench.load(results)
    assert table[table.session == "asv"].value.tolist() == [0.5]
    Store(results).append(make_record(dataclasses.replace(plain, params={"degree": 3, "scale": "sqrt"})))
    assert "asv" not in set(attnbench.load(results).session)


def test_of_several_commits_the_newest_that_has_a_value_counts(results: Path) -> None:
    spec = make_spec()
    names = ("kernel.Kernel.time_call", "kernel.Kernel.track_flops")
    write_asv(results, {name: (spec, 1.0) for name in names}, commit="e" * 40, started_at=JUNE)
    write_asv(results, {names[0]: (spec, 2.0), names[1]: (spec, None)}, commit="a" * 40, started_at=JULY)
    table = attnbench.load(results).set_index("metric")
    assert table.value.to_dict() == {"forward_s": 2.0, "flops": 1.0}
    assert table.attnbench_commit.to_dict() == {"forward_s": "a" * 40, "flops": "e" * 40}


def test_a_file_that_cannot_be_read_is_a_problem_like_a_line(results: Path) -> None:
    Store(results).append(make_record())
    file = write_asv(results, {BENCHMARK["kernel"]: (make_spec(), 0.5)})
    file.write_text("{")
    with pytest.warns(UserWarning, match=file.name):
        assert len(attnbench.load(results)) == 2
    problems: list[Problem] = []
    frame.load(results, problems)
    assert [problem.file for problem in problems] == [file]


def test_no_folder_is_no_cells(tmp_path: Path) -> None:
    assert asv_cells(tmp_path / "asv") == []


def test_curves_leave_asvs_rows_as_they_are(results: Path) -> None:
    write_asv(results, {BENCHMARK["kernel"]: (make_spec(), 0.5)})
    assert len(attnbench.load(results, curves=True)) == 1


@pytest.mark.parametrize("seed", [seed if seed < 6 else pytest.param(seed, marks=pytest.mark.long) for seed in range(12)])
def test_damaged_files_take_nothing_else_along(seed: int, results: Path) -> None:
    chance = random.Random(seed)
    Store(results).append(make_record())
    for number in range(40):
        written = {name: (spec, 0.5) for name, spec in BENCHMARKED.items()}
        file = write_asv(results, written, commit=f"{number:040x}", samples=[[0.5, 0.25]])
        file.write_bytes(damaged_document(chance, json.loads(file.read_bytes())))
    problems: list[Problem] = []
    table = frame.load(results, problems)
    assert (table["session"] != "asv").sum() == 2
    for command in (
        ["export", str(results / "x.parquet")],
        ["export", str(results / "x.json")],
        ["compare", "softmax", "polynomial"],
        ["claims"],
    ):
        done = cli_here(*command, "--results", str(results))
        assert done.returncode == 0 or command[0] == "compare", done.stderr
        assert "unexpected error" not in done.stderr, done.stderr
