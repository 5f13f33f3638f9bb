"""Records of every schema number that ever was can be read, and become what they should."""

from __future__ import annotations

import json

import pytest

from attnbench.store.migrate import STEPS, UnknownSchema, migrate
from attnbench.store.record import SCHEMA, UnreadableRecord, decode, encode, written_schema
from helpers.paths import FIXTURES
from helpers.records import make_record

NUMBERS = range(1, SCHEMA + 1)


@pytest.mark.parametrize("number", NUMBERS)
def test_golden_record_of_every_number_reads_as_its_migrated_form(number: int) -> None:
    """record-N.jsonl is as attnbench wrote it when N was the newest; record-N.migrated.jsonl is the same in today's shape."""
    line = (FIXTURES / f"record-{number}.jsonl").read_bytes()
    migrated = line if number == SCHEMA else (FIXTURES / f"record-{number}.migrated.jsonl").read_bytes()
    assert written_schema(line) == number
    assert encode(decode(line)) == migrated


def test_a_step_leads_on_from_every_older_number() -> None:
    assert list(STEPS) == list(NUMBERS)[:-1]
    for number, step in STEPS.items():
        assert step(json.loads((FIXTURES / f"record-{number}.jsonl").read_bytes()))["schema"] == number + 1


def test_times_of_schema_1_are_wall_clock_and_rates_are_no_times() -> None:
    measurements = {"training_s": [1.0], "train_s": [2.0], "training_tokens_per_s": [3.0], "peak_memory_bytes": [4.0]}
    raw = {"schema": 1, "measurements": measurements}
    assert migrate(raw, 2) == {
        "schema": 2,
        "measurements": measurements,
        "clocks": {"training_s": "wall", "train_s": "wall"},
        "stages_s": {},
    }
    assert raw == {"schema": 1, "measurements": measurements}


@pytest.mark.parametrize("shape", ["today's", "another"])
def test_a_newer_schema_says_so_whatever_its_shape(shape: str) -> None:
    line = encode(make_record()) if shape == "today's" else b'{"schema":2,"cell":[]}'
    with pytest.raises(UnreadableRecord, match=f"schema 99 is newer than {SCHEMA}.*update attnbench"):
        decode(line.replace(b'"schema":2', b'"schema":99'))


def test_a_number_that_never_was_says_so() -> None:
    with pytest.raises(UnknownSchema, match="schema 0 was never in use"):
        migrate({"schema": 0}, SCHEMA)


@pytest.mark.parametrize("line", [b"[]", b"1", b"{}", b"", b'{"schema":"1"}', b'{"schema":1}', b'{"schema":1,"measurements":[1.0]}'])
def test_what_is_no_record_stays_unreadable(line: bytes) -> None:
    with pytest.raises(UnreadableRecord):
        decode(line)
