"""The store keeps every record that was appended, and reads past what it cannot read."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnbench.errors import BadInput
from attnbench.store.record import encode
from attnbench.store.store import Problem, Store
from helpers.records import make_record, make_spec


def test_round_trip(results: Path) -> None:
    store = Store(results)
    record = make_record(reason="naïve “reason” 中\n\u2028", curve={"train_loss": [1.0, None]})
    store.append(record)
    assert list(store.read()) == [record]


def test_corrupt_lines_are_reported_with_file_and_line_and_left_alone(results: Path) -> None:
    store = Store(results)
    first, last = make_record(), make_record(make_spec(seq_len=64))
    store.append(first)
    file = next(results.rglob("*.jsonl"))
    with file.open("ab") as stream:
        stream.write(b'{"schema": 1, "id": \n\xff\xfe\n[]\n')
        stream.write(encode(last))
        stream.write(encode(last)[:100])
    before = file.read_bytes()
    problems: list[Problem] = []
    assert list(store.read(problems)) == [first, last]
    assert [(p.file, p.line) for p in problems] == [(file, 2), (file, 3), (file, 4), (file, 6)]
    assert "cut off" in str(problems[-1])
    assert file.read_bytes() == before


def test_a_missing_folder_says_what_to_do(new_results: Path) -> None:
    with pytest.raises(BadInput, match="attnbench run"):
        list(Store(new_results).read())


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".hidden", "x" * 101])
def test_names_cannot_leave_the_folder(new_results: Path, name: str) -> None:
    with pytest.raises(BadInput, match="cannot name a file"):
        Store(new_results).append(make_record(machine=name))
    assert not new_results.exists()


def test_finished_is_by_id_fingerprint_and_machine(results: Path) -> None:
    store = Store(results)
    record = make_record()
    store.append(record)
    assert store.finished("desk") == {(record.id, record.fingerprint): record}
    assert store.finished("other") == {}


def test_finished_is_the_later_line_of_a_session_though_the_clock_went_back(results: Path) -> None:
    store = Store(results)
    store.append(make_record(started_at="2026-11-22T10:00:00Z"))
    later = make_record(started_at="2026-11-22T09:00:00Z", duration_s=2.5)
    store.append(later)
    assert list(store.finished("desk").values()) == [later]


def test_finished_is_of_the_session_that_measured_it_last(results: Path) -> None:
    store = Store(results)
    new = make_record(session="a", started_at="2026-11-22T11:00:00Z")
    store.append(new)
    store.append(make_record(session="b", started_at="2026-11-22T10:00:00Z"))
    assert list(store.finished("desk").values()) == [new]


def test_nothing_but_sessions_is_left_behind(new_results: Path) -> None:
    Store(new_results).append(make_record())
    assert [file.name for file in new_results.rglob("*") if file.is_file()] == ["20261122T000000Z-abcdef.jsonl"]
