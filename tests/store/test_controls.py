"""Controls are stored, found by what they belong to, and lost alone where their file is damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from attnbench.errors import AttnbenchError, BadInput
from attnbench.store.controls import UnreadableControl, decode, encode, file_of, read_controls, store_control
from attnbench.store.store import Problem
from helpers.controls import make_control


def spoiled(**fields: Any) -> bytes:
    return json.dumps({**json.loads(encode(make_control())), **fields}).encode()


def test_what_is_stored_is_read_again(new_results: Path) -> None:
    assert read_controls(new_results) == []
    controls = [
        make_control(),
        make_control(task_params={"pairs": 16, "noise": 0.5, "sorted": True, "kind": "short"}),
        make_control(causal=True),
    ]
    files = [store_control(new_results, control) for control in controls]
    assert [file.name for file in files] == ["mqar.json", "mqar-kind_short-noise_0.5-pairs_16-sorted_true.json", "mqar-causal.json"]
    problems: list[Problem] = []
    assert read_controls(new_results, problems) == [controls[2], controls[1], controls[0]]
    assert problems == []
    assert sorted(file.name for file in (new_results / "controls").iterdir()) == sorted(file.name for file in files)


def test_a_new_measurement_takes_the_place_of_the_old_one(new_results: Path) -> None:
    store_control(new_results, make_control())
    newer = make_control(data_fingerprint="f" * 16)
    store_control(new_results, newer)
    assert read_controls(new_results) == [newer]


@pytest.mark.parametrize("params", [{"kind": "a/b"}, {"kind": "x" * 200}, {"kind": "half-open"}, {"low": -1}, {"kind": ""}])
def test_a_control_whose_params_cannot_name_a_file_has_a_hash(params: dict[str, Any], new_results: Path) -> None:
    control = make_control(task_params=params)
    file = store_control(new_results, control)
    assert file.parent == new_results / "controls"
    assert read_controls(new_results) == [control]
    assert file != file_of(new_results, make_control())


def test_two_sources_of_one_task_have_a_file_each(new_results: Path) -> None:
    names = {file_of(new_results, make_control(data=data)).name for data in ("embedded:1a2b3c4d", "hub:ylecun/mnist")}
    assert names == {"mqar.json", "mqar-hub.json"}


def test_a_file_that_is_torn_anywhere_is_a_fault_and_takes_nothing_down(new_results: Path) -> None:
    other = make_control(task="digits")
    store_control(new_results, other)
    file = store_control(new_results, make_control())
    whole = file.read_bytes()
    for length in range(len(whole.rstrip())):
        file.write_bytes(whole[:length])
        problems: list[Problem] = []
        assert read_controls(new_results, problems) == [other]
        assert [(problem.file, problem.line) for problem in problems] == [(file, None)]
    assert "python tools/controls.py" in str(problems[0])


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"", "truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (b"[" * 100_000, ""),
        (b"\xff\xfe{}", ""),
        (spoiled(schema=2), "its schema is 2"),
        (spoiled(value="0.25"), "$.value"),
        (spoiled(value=None), "$.value"),
        (spoiled(value=-0.25), "$.value"),
        (spoiled(value=10**400), "out of range"),
        (spoiled(value=2.0, by_block=[2.0, 2.0, None]), "an accuracy is above 1"),
        (spoiled(validation_value=1e200), "$.validation_value"),
        (spoiled(validation_value=1.5), "an accuracy is above 1"),
        (encode(make_control()).replace(b"0.25", b"NaN"), "malformed"),
        (encode(make_control()).replace(b"0.25", b"1e999"), "out of range"),
        (encode(make_control()).replace(b"0.25", b"9" * 100_000), "out of range"),
        (spoiled(asked_by_block=[3, 3, 2**60]), "$.asked_by_block[2]"),
        (spoiled(asked_by_block=[3, 3]), "its blocks"),
        (spoiled(asked_by_block=[0, 3, 0]), "its blocks"),
        (spoiled(asked_by_block=[], by_block=[]), "its blocks"),
        (spoiled(asked_by_block=[0], by_block=[None]), "its blocks"),
        (spoiled(asked_by_block=[3, 2, 0]), "the mean of its blocks 0.3"),
        (spoiled(metric="loss"), "Invalid enum value 'loss'"),
        (spoiled(task=""), "$.task"),
        (spoiled(task="two\nlines"), "$.task"),
        (spoiled(model=" "), "a name is a text of one line"),
        (spoiled(chosen="half of a pair \udfff"), ""),
        (spoiled(measured_at="yesterday"), "write UTC"),
        (spoiled(task_params=[1]), "$.task_params"),
        (spoiled(task_params={"pairs": None}), "$.task_params"),
        (spoiled(task_params={"pairs": 2**70}), "more than 64 bits"),
        (spoiled(task_params={"": 1}), "a parameter of the task"),
        (spoiled(task_params={"patch": 2}, independent_of=["patch"]), "does not depend on it"),
        (spoiled(versions={"numpy": 2}), "$.versions"),
        (spoiled(causal="yes"), "$.causal"),
    ],
)
def test_what_is_no_control_is_refused_with_why(document: bytes, said: str, new_results: Path) -> None:
    store_control(new_results, make_control(task="digits"))
    with pytest.raises(UnreadableControl) as refused:
        decode(document)
    assert said in str(refused.value)
    (new_results / "controls" / "mqar.json").write_bytes(document)
    problems: list[Problem] = []
    assert [control.task for control in read_controls(new_results, problems)] == ["digits"]
    assert [problem.file.name for problem in problems] == ["mqar.json"]


def test_a_field_that_is_missing_is_a_fault() -> None:
    needed = ("task", "data", "data_fingerprint", "model", "metric", "value", "validation_value", "chosen", "by_block", "asked_by_block")
    for name in (*needed, "measured_at", "command"):
        document = json.loads(encode(make_control()))
        del document[name]
        with pytest.raises(UnreadableControl, match=name):
            decode(json.dumps(document).encode())


def test_a_copy_under_another_name_and_a_folder_are_faults(new_results: Path) -> None:
    file = store_control(new_results, make_control())
    file.with_name("mqar (copy).json").write_bytes(file.read_bytes())
    file.with_name("folder.json").mkdir()
    problems: list[Problem] = []
    assert read_controls(new_results, problems) == [make_control()]
    assert [problem.file.name for problem in problems] == ["folder.json", "mqar (copy).json"]
    assert "whose file is mqar.json" in problems[1].why


def test_a_byte_order_mark_is_no_damage() -> None:
    assert decode(b"\xef\xbb\xbf" + encode(make_control())) == make_control()


@pytest.mark.parametrize("fields", [{"value": float("nan")}, {"value": 0.5}, {"measured_at": "now"}, {"task": "a/b"}, {"task": "../a"}])
def test_what_could_not_be_read_back_is_not_stored(fields: dict[str, Any], new_results: Path) -> None:
    with pytest.raises(BadInput):
        store_control(new_results, make_control(**fields))
    assert not new_results.exists()


def test_a_control_that_cannot_be_stored_is_an_error_of_ours(new_results: Path) -> None:
    new_results.write_text("a file where the folder should be")
    with pytest.raises(AttnbenchError, match=r"cannot be stored in .*mqar\.json.*--results"):
        store_control(new_results, make_control())
