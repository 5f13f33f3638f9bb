"""One tidy row per record and metric; order of the records changes nothing that is shown."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

import attnbench
from attnbench.analysis import frame
from attnbench.analysis.samples import single
from attnbench.errors import BadInput
from attnbench.store.metrics import SATURATED
from attnbench.store.record import encode
from attnbench.store.store import Problem, Store
from helpers.records import make_record, make_spec, session


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


def test_a_metric_without_samples_has_no_value(results: Path) -> None:
    Store(results).append(make_record(measurements={"forward_s": []}))
    (row,) = attnbench.load(results).itertuples()
    assert row.samples == []
    assert math.isnan(row.value)


def test_every_time_names_its_clock(results: Path) -> None:
    measurements = {"forward_s": [2.0], "forward_device_s": [1.0], "flops": [8.0]}
    Store(results).append(make_record(measurements=measurements, clocks={"forward_s": "wall", "forward_device_s": "device"}))
    table = attnbench.load(results).set_index("metric")
    assert table.clock.dropna().to_dict() == {"forward_s": "wall", "forward_device_s": "device"}
    assert table.clock.isna()["flops"]


def test_values_are_medians_and_stand_beside_their_own_samples(results: Path) -> None:
    """Records with different metrics, in different numbers, so that a column that slips by one is seen."""
    store = Store(results)
    for seed in range(1, 8):
        measurements = {f"metric_{number}": [float(seed), float(number), 100.0 * seed][: number % 3 + 1] for number in range(seed)}
        store.append(make_record(make_spec(seed=seed), reason=f"number {seed}", measurements=measurements))
    table = attnbench.load(results)
    assert len(table) == sum(range(1, 8))
    for row in table.itertuples():
        number = int(row.metric.removeprefix("metric_"))
        kept = [float(row.seed), float(number), 100.0 * row.seed][: number % 3 + 1]
        assert row.samples == kept
        assert row.value == sorted(kept)[len(kept) // 2] if len(kept) % 2 else sum(kept) / 2
        assert row.reason == f"number {row.seed}"


def test_what_is_missing_is_missing_in_every_type_of_column(results: Path) -> None:
    Store(results).append(make_record(environment={}))
    row = attnbench.load(results).iloc[0]
    axes = ["num_kv_heads", "block", "num_layers", "task", "task_params", "lr", "lr_grid", "test_seq_len", "tuned_epochs"]
    missing = [*axes, "reason", "stage", "attnbench_commit", "torch", "architecture", "threads", "gpu", "timing", "implementation"]
    missing += ["dirty", "at_edge", "protocol_fingerprint", "not_compared", "drift", "clock"]
    assert row[missing].isna().all()
    assert row.drop([*missing, "data", "epochs"]).notna().all()


def test_an_odd_environment_is_named_and_left_out(results: Path) -> None:
    odd = make_record(make_spec(seq_len=64), environment={"torch": ["2.13"]})
    session(results, encode(odd), encode(make_record()))
    problems: list[Problem] = []
    assert frame.load(results, problems)["seq_len"].unique().tolist() == [1024]
    assert [(problem.line, "$.torch" in problem.why) for problem in problems] == [(1, True)]


def test_columns_have_the_same_types_with_and_without_records(new_results: Path) -> None:
    new_results.mkdir()
    empty = attnbench.load(new_results).dtypes
    Store(new_results).append(make_record())
    full = attnbench.load(new_results).dtypes
    assert list(empty.index) == list(full.index)
    assert [str(full[name]) for name in ("variant", "reason", "unit", "clock", "id")] == ["str"] * 5
    assert {name for name in full.index if full[name] != empty[name]} <= {
        "causal",
        "token_shift",
        *(n for n in full.index if full[n] == "int64"),
    }


def test_unreadable_lines_are_warned_of(results: Path) -> None:
    Store(results).append(make_record())
    file = next(results.rglob("*.jsonl"))
    with file.open("a") as stream:
        stream.write("garbage\n")
    with pytest.warns(UserWarning, match=r"jsonl:2"):
        assert len(attnbench.load(results)) == 2


def test_missing_and_empty_folders(new_results: Path) -> None:
    with pytest.raises(BadInput, match="no results folder"):
        attnbench.load(new_results)
    new_results.mkdir()
    assert len(attnbench.load(new_results)) == 0


def test_what_was_tuned_and_on_what_it_was_measured_are_columns(results: Path) -> None:
    axes = {"track": "task", "task": "mnist", "block": "residual", "num_layers": 2, "epochs": 1, "seq_len": None, "mode": "training"}
    Store(results).append(make_record(make_spec(**axes, lr=0.1, lr_grid="0.1 0.2"), session="a"))
    Store(results).append(make_record(make_spec(**axes, lr=0.1, evaluate="validation"), session="b"))
    table = attnbench.load(results).drop_duplicates("id")
    assert table.evaluate.tolist() == ["test", "validation"]
    assert table.lr_grid.tolist()[0] == "0.1 0.2" and table.lr_grid.isna().tolist() == [False, True]


def test_the_cell_of_a_tuned_record_is_that_before_the_choice(results: Path) -> None:
    axes = {"track": "task", "task": "mnist", "block": "residual", "num_layers": 2, "epochs": 1, "seq_len": None, "mode": "training"}
    open_, given = make_spec(**axes, lr_grid="0.1 0.2"), make_spec(**axes, lr=0.1)
    chosen = [dataclasses.replace(open_, lr=lr) for lr in (0.1, 0.2)]
    for number, spec in enumerate((*chosen, given)):
        Store(results).append(make_record(spec, session=f"s{number}", measurements={"accuracy": [0.5]}))
    table = attnbench.load(results)
    assert list(table.columns[table.columns.get_loc("id") :][:2]) == ["id", "cell"]
    assert table.cell.tolist() == [open_.key(), open_.key(), given.key()]
    assert table.id.tolist() == [spec.key() for spec in (*chosen, given)]


def test_curves_are_rows_of_their_own(results: Path) -> None:
    axes = {"track": "task", "task": "mnist", "block": "residual", "num_layers": 2, "epochs": 2, "seq_len": None, "mode": "training"}
    curve = {"wall_s": [0.0, 1.0, 2.5], "train_loss": [None, 0.5, 0.25], "effective_rank_layer_1": [3.0, 9.0, 7.0], "nothing": [None] * 3}
    store = Store(results)
    store.append(make_record(make_spec(**axes, lr=0.1), measurements={"accuracy": [0.5, 0.7]}, curve=curve, session="a"))
    store.append(make_record(make_spec(**axes, lr=0.2), status="timeout", reason="x", measurements={}, curve=curve, session="b"))
    store.append(make_record(make_spec(**axes, lr=0.3), status="oom", reason="x", measurements={}, session="c"))
    assert attnbench.load(results).metric.isna().tolist() == [False, True, True]
    table = attnbench.load(results, curves=True)
    names = ["curve.effective_rank_layer_1", "curve.train_loss", "curve.wall_s"]
    assert table.metric.fillna("-").tolist() == ["accuracy", *names, *names, "-"]
    first = table[table.session == "a"].set_index("metric")
    assert first.value.tolist() == [0.6, 7.0, 0.25, 2.5]
    assert first.samples["curve.train_loss"] == [0.5, 0.25]
    assert first.unit.tolist() == ["1", "1", "nat", "s"]
    assert first.clock.isna().all()
    assert table.equals(frame.frame(store.read(), curves=True))


def test_axes_are_columns_of_every_track(results: Path) -> None:
    store = Store(results)
    store.append(
        make_record(make_spec(track="task", task="mnist", block="residual", num_layers=2, epochs=1, lr=0.1, seq_len=None, mode="training"))
    )
    store.append(make_record())
    table = attnbench.load(results)
    assert set(table.track) == {"task", "kernel"}
    assert table[table.track == "task"].task.unique().tolist() == ["mnist"]


def test_a_condition_of_zero_is_read_as_saturated(results: Path) -> None:
    """Records of before hold 0 for a stack whose output does not depend on its input; the record itself stays as it is."""
    spec = make_spec(track="depth", block="skipless", num_layers=2, mode="training")
    metrics = ("jacobian_condition", "attention_jacobian_condition")
    record = make_record(spec, measurements={"training_s": [0.25], "jacobian_condition": [0.0], "attention_jacobian_condition": [3.0]})
    Store(results).append(record)
    table = attnbench.load(results).set_index("metric")
    assert [table.loc[metric, "value"] for metric in metrics] == [SATURATED, 3.0]
    assert [single(record, metric) for metric in metrics] == [SATURATED, 3.0]
    assert record.measurements["jacobian_condition"] == [0.0]
