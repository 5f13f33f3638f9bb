"""A record is one line of strict JSON, described by a JSON schema."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from attnbench.store.facts import LARGEST
from attnbench.store.record import SCHEMA, UnreadableRecord, decode, encode
from attnbench.store.schema import json_schema
from helpers.command import cli_here
from helpers.paths import FIXTURES
from helpers.records import make_record, make_spec
from helpers.site_records import all_failed, hostile, usual

GOLDEN = FIXTURES / f"record-{SCHEMA}.jsonl"
VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def test_records_are_strict_json() -> None:
    with pytest.raises(ValueError, match="not finite"):
        encode(make_record(measurements={"forward_s": [float("nan")]}))
    strict = json.loads(encode(make_record()), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert strict["schema"] == SCHEMA


@pytest.mark.parametrize("sample", [b"NaN", b"Infinity", b"1e999", b"null", b'"0.5"'])
def test_a_sample_that_is_no_finite_number_is_unreadable(sample: bytes) -> None:
    with pytest.raises(UnreadableRecord):
        decode(encode(make_record()).replace(b"0.25", sample))


@pytest.mark.parametrize(
    "axis", ["padded", "num_kv_heads", "token_shift", "init_norm", "positions", "task_params", "protocol", "weight_decay"]
)
def test_a_record_of_before_an_axis_keeps_its_id_and_is_written_again_byte_for_byte(axis: str) -> None:
    record = make_record()
    raw = json.loads(encode(record))
    del raw["spec"][axis]
    line = json.dumps(raw, separators=(",", ":")).encode() + b"\n"
    again = decode(line)
    assert again.spec == record.spec and again.spec.key() == record.id
    assert encode(again) == line


def test_a_bad_axis_in_a_record_is_unreadable() -> None:
    with pytest.raises(UnreadableRecord, match="kernel"):
        decode(encode(make_record()).replace(b'"track":"kernel"', b'"track":"kernal"'))


def test_the_schema_is_one_and_says_which() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    printed = json.loads(cli_here("schema").stdout)
    assert printed == json_schema()
    assert (printed["$schema"], printed["version"]) == ("https://json-schema.org/draft/2020-12/schema", SCHEMA)
    assert printed["title"]


def test_every_property_is_described() -> None:
    definitions = json_schema()["$defs"]
    bare = [f"{name}.{key}" for name, of in definitions.items() for key, told in of["properties"].items() if not told.get("description")]
    assert not bare


def test_records_fit_the_schema() -> None:
    records = [decode(GOLDEN.read_bytes()), make_record(), *usual(), *all_failed(), *hostile()]
    assert {record.spec.track for record in records} == {"kernel", "depth", "task"}
    for record in records:
        lines = json.loads(encode(record))
        huge = any(
            abs(x) >= LARGEST for of in (record.measurements, record.curve) for column in of.values() for x in column if x is not None
        )
        assert VALIDATOR.is_valid(lines) is not huge


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 1}, "2 was expected"),
        ({"id": None}, "not of type 'string'"),
        ({"status": "fine"}, "is not one of"),
        ({"clocks": {"forward_s": "sundial"}}, "is not one of"),
        ({"measurements": {"forward_s": [None]}}, "not of type 'number'"),
        ({"spec": {"track": "kernel", "variant": "softmax", "mode": "sideways"}}, "is not one of"),
    ],
)
def test_the_schema_refuses_what_is_no_record(change: dict[str, Any], said: str) -> None:
    raw = {**json.loads(encode(make_record(make_spec()))), **change}
    messages = [error.message for error in VALIDATOR.iter_errors(raw)]
    assert any(said in message for message in messages), messages


def test_the_schema_asks_for_the_schema_number() -> None:
    raw = json.loads(encode(make_record()))
    del raw["schema"]
    assert [error.message for error in VALIDATOR.iter_errors(raw)] == ["'schema' is a required property"]
