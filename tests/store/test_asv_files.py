"""asv's files, whole and broken; a real one is read in test_asv.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from attnbench.store.asv_files import AsvRow, read_asv
from attnbench.store.store import Problem

COLUMNS = ["result", "params", "version", "started_at", "duration", "stats_ci_99_a", "samples"]
PLACES = [["'softmax'", "<object>"], ["256", "0.5", "True"]]
SAMPLES = [[0.25, 0.5], None, None, None, [1.0, float("nan")], None]


def document(**changes: Any) -> dict[str, Any]:
    """As asv 0.6.6 writes it: two variants by three values, of which one failed (null), one was skipped (NaN) and one is infinite."""
    given = {
        "version": 2,
        "commit_hash": "c" * 40,
        "params": {"machine": "desk", "cpu": ""},
        "result_columns": COLUMNS,
        "results": {
            "timed": [[0.375, None, float("nan"), float("inf"), 1.0, 2], PLACES, "1", 1795330590999, 3.0, [-float("inf")], SAMPLES],
            "tracked": [[7], [], "1"],
            "failed": [None, [["1", "2"]], "1", 1795330590999],
        },
    }
    return {**given, **changes}


def write(folder: Path, content: object, name: str = "cccccccc-env.json") -> Path:
    file = folder / "desk" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def read(folder: Path) -> tuple[list[AsvRow], list[Problem]]:
    problems: list[Problem] = []
    return list(read_asv(folder, problems)), problems


def test_a_row_for_every_place_and_nothing_that_is_not_finite(tmp_path: Path) -> None:
    write(tmp_path, document())
    write(tmp_path, {"machine": "desk", "version": 1}, "machine.json")
    (tmp_path / "benchmarks.json").write_text("{}")
    rows, problems = read(tmp_path)
    assert problems == []
    timed = [row for row in rows if row.benchmark == "timed"]
    assert [row.params for row in timed] == [(v, x) for v in ("softmax", "<object>") for x in (256, 0.5, True)]
    assert [row.value for row in timed] == [0.375, None, None, None, 1.0, 2.0]
    assert [row.samples for row in timed] == [(0.25, 0.5), None, None, None, (1.0, None), None]
    assert {(row.machine, row.commit, row.started_at) for row in timed} == {("desk", "c" * 40, "2026-11-22T06:56:30Z")}
    assert [(row.params, row.value, row.started_at) for row in rows if row.benchmark == "tracked"] == [((), 7.0, None)]
    assert [(row.params, row.value) for row in rows if row.benchmark == "failed"] == [((1,), None), ((2,), None)]


def test_no_folder_is_no_rows(tmp_path: Path) -> None:
    assert read(tmp_path / "absent") == ([], [])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "not JSON"),
        (json.dumps(document())[:-40], "not JSON"),
        ("null", "not asv's results of version 2"),
        ("[1]", "not asv's results of version 2"),
        (document(version=1), "its version is 1"),
        (document(params={}), "'machine' is missing"),
        ({k: v for k, v in document().items() if k != "result_columns"}, "'result_columns' is missing"),
        (document(results=[1]), "not asv's results of version 2"),
        (document(results={"timed": 3}), "not asv's results of version 2"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_problem_and_the_others_are_read(tmp_path: Path, content: object, why: str) -> None:
    write(tmp_path, document(), "whole.json")
    file = write(tmp_path, content, "broken.json")
    rows, problems = read(tmp_path)
    assert len(rows) == 9
    assert [(problem.file, problem.line) for problem in problems] == [(file, 1)]
    assert why in problems[0].why


def test_bytes_that_are_no_text_are_a_problem(tmp_path: Path) -> None:
    file = write(tmp_path, "")
    file.write_bytes(b'{"version": \xff\xfe}')
    assert [problem.file for problem in read(tmp_path)[1]] == [file]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ([[1.0], [["1", "2"]]], "1 values for 2 places"),
        ([[1.0, 2.0], [["1", "2"]], "1", None, None, None, [[1.0]]], "1 values for 2 places"),
        ([["fast"], []], "a value is 'fast'"),
        ([[True], []], "a value is True"),
        ([[1.0], 5], "not iterable"),
        ([[1.0]], "'params' is missing"),
        ([[1.0], [], "1", 1e40], "out of range"),
        ([[10**400], []], "too large"),
    ],
)
def test_a_benchmark_that_cannot_be_read_is_a_problem_and_the_others_are_read(tmp_path: Path, row: object, why: str) -> None:
    file = write(tmp_path, document(results={"odd": row, "tracked": [[7], [], "1"]}))
    rows, problems = read(tmp_path)
    assert [row.benchmark for row in rows] == ["tracked"]
    assert [problem.file for problem in problems] == [file]
    assert problems[0].why.startswith("odd cannot be read: ") and why in problems[0].why


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ([None, [["1"] * 1000] * 8], "places among the parameters"),
        ([[1.0], [["(" * 10_000]]], ""),
        ([[1.0], [["-" * 100_000 + "1"]]], ""),
        ([[1e308], [["1"]]], ""),
        ([[1.0], 7], "not iterable"),
        ([[1.0], [7]], "not iterable"),
    ],
)
def test_what_would_fill_the_memory_or_the_stack_is_left_out(tmp_path: Path, row: object, why: str) -> None:
    write(tmp_path, document(results={"odd": row, "tracked": [[7], [], "1"]}))
    rows, problems = read(tmp_path)
    assert [row.value for row in rows if row.benchmark == "tracked"] == [7.0]
    assert [why in problem.why for problem in problems] == [True] * bool(why)
    assert all(row.value in (None, 1.0) for row in rows if row.benchmark == "odd")


def test_brackets_without_end_are_a_problem(tmp_path: Path) -> None:
    file = write(tmp_path, "[" * 100_000)
    assert [problem.file for problem in read(tmp_path)[1]] == [file]


def test_a_byte_order_mark_is_read_past(tmp_path: Path) -> None:
    write(tmp_path, "\ufeff" + json.dumps(document()))
    rows, problems = read(tmp_path)
    assert len(rows) == 9 and problems == []


def test_a_folder_of_that_name_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "desk" / "x.json").mkdir(parents=True)
    assert ["directory" in problem.why for problem in read(tmp_path)[1]] == [True]
