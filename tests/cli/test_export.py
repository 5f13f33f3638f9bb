"""Exports read back as the frame that was written; whole or not at all, and the same bytes for the same records."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

import attnbench
from attnbench.analysis import file_formats, frame
from attnbench.analysis.columns import columns
from attnbench.cli.export import export_frame
from attnbench.errors import BadInput
from attnbench.store.store import Store
from helpers.records import make_record, make_spec

ENDINGS = ("csv", "parquet", "json")
TASK = {"track": "task", "task": "mnist", "block": "residual", "num_layers": 2, "epochs": 3, "seq_len": None, "mode": "training"}
FROM_TEXT: dict[str, Callable[[str], Any]] = {
    "text": str, "integer": int, "number": float, "boolean": {"True": True, "False": False}.__getitem__,
    "object": json.loads, "list of numbers": json.loads,
}  # fmt: skip
HOSTILE = 'a "quoted", line\nanother\r\nand\ra third; ünï\u2028code [bold]'


@pytest.fixture
def stored(results: Path) -> Path:
    """A failure, samples that need all their digits, a metric without any, integers that are missing elsewhere, and a curve."""
    store = Store(results)
    store.append(make_record(status="error", reason=HOSTILE, stage="time", measurements={}, session="a"))
    store.append(
        make_record(make_spec(params={"scale": 1.0, "shape": [2, 3]}), measurements={"forward_s": [0.1, 1 / 3, 1.2345678901234567e-149]})
    )
    store.append(make_record(make_spec(seed=2**62), measurements={"forward_s": [], "flops": [1e22]}, session="c"))
    curve = {"wall_s": [0.0, 1.5], "train_loss": [None, 0.25]}
    store.append(make_record(make_spec(**TASK, lr=0.001, causal=True), measurements={"accuracy": [0.9]}, curve=curve, machine="lab"))
    return results


def exported(results: Path, file: Path, **wanted: Any) -> str:
    out, err = io.StringIO(), io.StringIO()
    export_frame(results, file, Console(file=out, width=200), Console(file=err), **wanted)
    assert err.getvalue() == ""
    return out.getvalue()


def read(file: Path) -> list[dict[str, Any]]:
    """The rows as plain values, None for what is missing."""
    if file.suffix == ".json":
        found: list[dict[str, Any]] = json.loads(file.read_bytes(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        return found
    if file.suffix == ".csv":
        with file.open(newline="", encoding="utf-8") as stream:
            return [
                {name: FROM_TEXT[columns()[name].type](text) if text else None for name, text in row.items()}
                for row in csv.DictReader(stream)
            ]
    table = pd.read_parquet(file, dtype_backend="numpy_nullable")
    table = table.assign(samples=[list(found) for found in table.samples], params=[json.loads(text) for text in table.params])
    return [plain(row) for row in table.astype(object).to_dict("records")]


def plain(row: dict[str, Any]) -> dict[str, Any]:
    def is_missing(value: Any) -> bool:
        return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))

    return {str(name): None if is_missing(value) else value for name, value in row.items()}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("curves", [False, True])
def test_an_export_reads_back_as_the_frame(stored: Path, tmp_path: Path, ending: str, curves: bool) -> None:
    file = tmp_path / "new" / f"table.{ending}"
    told = exported(stored, file, curves=curves)
    expected = [plain(row) for row in attnbench.load(stored, curves=curves).astype(object).to_dict("records")]
    found = read(file)
    assert found == expected
    assert [list(row) for row in found] == [list(frame.COLUMNS)] * len(expected)
    assert told == f"Wrote {len(expected)} rows of 4 records to {file}\n"
    assert all(isinstance(row["seed"], int) and not isinstance(row["d_model"], float) for row in found)


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_same_records_give_the_same_bytes(stored: Path, tmp_path: Path, ending: str) -> None:
    one, other = tmp_path / f"one.{ending}", tmp_path / f"other.{ending}"
    other.write_text("an older file, which is replaced")
    for file in (one, other):
        exported(stored, file)
    assert one.read_bytes() == other.read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([one.name, other.name, "results"])


@pytest.mark.parametrize("ending", ENDINGS)
def test_some_of_the_records_can_be_chosen(stored: Path, tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"table.{ending}"
    told = exported(stored, file, track="task", variant="softmax", machine="lab")
    assert told == f"Wrote 1 row of 1 record to {file}\n"
    (row,) = read(file)
    assert (row["metric"], row["num_layers"], row["seq_len"]) == ("accuracy", 2, None)


def test_json_is_one_row_a_line_however_many_are_written_at_once(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, pieces = tmp_path / "whole.json", tmp_path / "pieces.json"
    exported(stored, whole)
    monkeypatch.setattr(file_formats, "_ROWS_AT_ONCE", 2)
    exported(stored, pieces)
    assert whole.read_bytes() == pieces.read_bytes()
    first, *rows, last = whole.read_text().rstrip("\n").split("\n")
    assert (first, last) == ("[", "]")
    assert [json.loads(row.rstrip(","))["metric"] for row in rows] == [row["metric"] for row in read(whole)]


def test_parquet_holds_the_same_rows_however_many_make_a_group(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet

    whole, pieces = tmp_path / "whole.parquet", tmp_path / "pieces.parquet"
    exported(stored, whole)
    monkeypatch.setattr(file_formats, "_ROWS_OF_A_GROUP", 2)
    exported(stored, pieces)
    assert read(pieces) == read(whole)
    assert [pyarrow.parquet.read_metadata(file).num_row_groups for file in (whole, pieces)] == [1, (len(read(whole)) + 1) // 2]
    assert len(read(whole)) > 2


def test_a_parquet_file_has_its_types_and_what_they_mean(stored: Path, tmp_path: Path) -> None:
    import pyarrow.parquet

    file = tmp_path / "table.parquet"
    exported(stored, file, track="task")
    schema = pyarrow.parquet.read_schema(file)
    kinds = [str(schema.field(name).type) for name in ("seq_len", "samples", "value", "causal", "params", "torch", "d_model")]
    assert [kind.replace("element", "item") for kind in kinds] == [
        "int64",
        "list<item: double>",
        "double",
        "bool",
        "string",
        "string",
        "int64",
    ]
    for name, column in columns().items():
        assert schema.field(name).metadata[b"description"].decode() == column.meaning


def test_asvs_rows_are_told_of(results: Path, tmp_path: Path) -> None:
    params = [["'softmax'"], ["'forward'"], ["False"], ["256"], ["'cpu, float32, batch 1, 4 heads of 64'"]]
    row = {"version": 2, "commit_hash": "c" * 40, "params": {"machine": "desk"}, "result_columns": ["result", "params"]}
    file = results / "asv" / "desk" / "cccccccc-env.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({**row, "results": {"kernel.Kernel.track_flops": [[8.0], params]}}))
    Store(results).append(make_record())
    target = tmp_path / "table.csv"
    assert exported(results, target) == f"Wrote 2 rows of 1 record and 1 row of asv's to {target}\n"
    assert [row["session"] for row in read(target)][-1] == "asv"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("table.xlsx", r"ends in '\.xlsx'; give one that ends in \.csv, \.parquet, \.json"),
        ("table", r"'table', has no ending"),
    ],
)
def test_another_ending_is_refused_before_anything_is_read(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        exported(tmp_path / "absent", tmp_path / name)


def test_what_cannot_be_exported(stored: Path, tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("as it was")
    for wanted, why in (
        ({"variant": "sofmax"}, r"unknown variant 'sofmax'; did you mean 'softmax'\?"),
        ({"track": "depth"}, "unknown track 'depth'; allowed: kernel, task"),
        ({"machine": "nowhere"}, "unknown machine 'nowhere'"),
        ({"track": "kernel", "machine": "lab"}, "unknown machine 'lab'; allowed: desk"),
    ):
        with pytest.raises(BadInput, match=why):
            exported(stored, file, **wanted)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BadInput, match="holds no records yet"):
        exported(empty, file)
    with pytest.raises(BadInput, match="no results folder"):
        exported(tmp_path / "absent", file)
    assert file.read_text() == "as it was"


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_cannot_be_written_leaves_the_older_file(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    file = tmp_path / f"table.{ending}"
    file.write_text("as it was")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BadInput, match=r"table\.\w+ cannot be written: No space left on device"):
        exported(stored, file)
    assert file.read_text() == "as it was"
    assert {each.name for each in tmp_path.iterdir()} == {file.name, "results"}
    monkeypatch.undo()
    (tmp_path / f"folder.{ending}").mkdir()
    with pytest.raises(BadInput, match="cannot be written"):
        exported(stored, tmp_path / f"folder.{ending}")
    with pytest.raises(BadInput, match="cannot be written"):
        exported(stored, file / f"below_a_file.{ending}")


def test_unreadable_lines_are_told_of(stored: Path, tmp_path: Path) -> None:
    with next(stored.rglob("*.jsonl")).open("a") as stream:
        stream.write("garbage\n")
    err = io.StringIO()
    export_frame(stored, tmp_path / "table.json", Console(file=io.StringIO()), Console(file=err, width=300))
    assert "skipped an unreadable line" in err.getvalue()
