"""One tidy row per record and metric; order of the records changes nothing that is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

import attnbench
from attnbench import frame
from attnbench.errors import BadInput
from attnbench.store import Store
from factory import make_record, make_spec


def test_one_row_per_record_and_metric(results: Path) -> None:
    Store(results).append(make_record())
    table = attnbench.load(results)
    assert list(table.columns) == list(frame.COLUMNS)
    assert sorted(table.metric) == ["forward_s", "peak_memory_bytes"]
    row = table.set_index("metric").loc["forward_s"]
    assert (row.value, row.unit, row.samples) == (0.5, "s", [0.25, 0.5, 1.0])
    assert (row.variant, row.seq_len, row.d_model, row.machine, row.status) == ("softmax", 1024, 256, "desk", "ok")


def test_a_failure_has_a_row_without_a_value(results: Path) -> None:
    Store(results).append(make_record(status="oom", reason="too big", stage="time", measurements={}))
    (row,) = attnbench.load(results).itertuples()
    assert (row.status, row.reason) == ("oom", "too big")
    assert row.value != row.value


def test_newest_record_of_a_cell_is_shown() -> None:
    old = make_record(started_at="2026-01-01T00:00:00Z")
    new = make_record(started_at="2026-02-01T00:00:00Z", session="later")
    elsewhere = make_record(machine="other")
    assert frame.newest([new, old, elsewhere]) == [new, elsewhere]


def test_unreadable_lines_are_warned_of(results: Path) -> None:
    Store(results).append(make_record())
    file = next(results.rglob("*.jsonl"))
    with file.open("a") as stream:
        stream.write("garbage\n")
    with pytest.warns(UserWarning, match=r"jsonl:2"):
        assert len(attnbench.load(results)) == 2


def test_missing_and_empty_folders(results: Path) -> None:
    with pytest.raises(BadInput, match="no results folder"):
        attnbench.load(results)
    results.mkdir()
    assert len(attnbench.load(results)) == 0


@pytest.mark.parametrize(
    ("metric", "unit"),
    [("forward_s", "s"), ("training_tokens_per_s", "token/s"), ("peak_memory_bytes", "B"), ("flops", "FLOP"), ("accuracy", "1")],
)
def test_units_come_from_names(metric: str, unit: str) -> None:
    assert frame.unit(metric) == unit


def test_axes_are_columns_of_every_track(results: Path) -> None:
    store = Store(results)
    store.append(
        make_record(make_spec(track="task", task="mnist", block="residual", num_layers=2, epochs=1, lr=0.1, seq_len=None, mode="training"))
    )
    store.append(make_record())
    table = attnbench.load(results)
    assert set(table.track) == {"task", "kernel"}
    assert table[table.track == "task"].task.unique().tolist() == ["mnist"]
