"""`attnbench validate` finds each defect of a record in its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.records import TASK, line, make_spec, measured, only, session, sound

TRIAL = make_spec(**{**TASK, "evaluate": "validation"})


def without(key: str) -> bytes:
    raw = json.loads(line())
    del raw[key]
    return json.dumps(raw).encode() + b"\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"garbage\n", "the line cannot be read: JSON is malformed"),
        (line().replace(b"0.25", b"NaN"), "the line cannot be read"),
        (line().replace(b"0.25", b"1e999"), "the line cannot be read: Number out of range"),
        (line()[:200] + b"\n", "the line cannot be read"),
        (line().replace(b'"schema":2', b'"schema":99'), "schema 99 is newer than 2"),
        (line(id="0" * 16), "its id is '0000000000000000', and the hash of its spec"),
        (line(machine="other"), "its machine is 'other', and the file's place says 'desk'"),
        (line(session="other"), "its session is 'other', and the file's place says '20261122T000000Z-abcdef'"),
        (line(started_at="yesterday"), "started_at is 'yesterday'; write UTC"),
        (line(measurements={}, clocks={}), "it is 'ok' without measurements"),
        (line(measurements={k: v for k, v in measured().items() if k != "peak_memory_bytes"}), "'ok' without peak_memory_bytes"),
        (line(spec=make_spec(**TASK), id=make_spec(**TASK).key()), "without accuracy or bits_per_byte, which a task measures"),
        (line(spec=TRIAL, id=TRIAL.key()), "without validation_accuracy or validation_bits_per_byte, which a tuning trial measures"),
        (line(spec=TRIAL, id=TRIAL.key(), measurements={"accuracy": [0.5]}, clocks={}), "has accuracy, so it has read the test part"),
        (line(status="error"), "it is 'error' without a reason"),
        (line(status="error", reason=" "), "it is 'error' without a reason"),
        (line(measurements=measured(anchor_s=[0.5, 0.0])), "anchor_s holds 0.0; a time is positive"),
        (line(measurements=measured(anchor_s=[0.5, -1.0])), "anchor_s holds -1.0; a time is positive"),
        (line(measurements=measured(anchor_s=[])), "anchor_s has no samples"),
        (line(measurements=measured(anchor_ratio=[1.0])), "anchor_ratio has 1 samples and forward_s 3"),
        (line(clocks={"forward_s": "wall", "anchor_s": "sundial"}), "the clock of anchor_s is 'sundial'; allowed: wall, device"),
        (line(clocks={**sound().clocks, "decode_s": "wall"}), "clocks names decode_s, which was not measured"),
        (without("schema"), "it has no schema number"),
        (line(command="attnbench run --cell '{}' --variant /srv/x/mine.py"), "command gives away the path '/srv/x/mine.py'"),
        (line(reason="in /home/alice"), "reason gives away the path '/home/alice'"),
        (line(stage="/Users/alice/x"), "stage gives away the path '/Users/alice/x'"),
        (line(environment={**sound().environment, "gpus": [{"name": "a@example.org"}]}), "environment.gpus[0].name gives away the e-mail"),
        (line(environment={**sound().environment, "C:\\Users\\alice": 1}), "environment gives away the path"),
    ],
)
def test_each_error_is_found_in_its_line(results: Path, text: bytes, said: str) -> None:
    file = session(results, line(started_at="2026-11-22T00:00:01Z"), text, line(started_at="2026-11-22T00:00:02Z"))
    fault = only(results)
    assert (fault.file, fault.line, fault.level) == (file, 2, "error")
    assert said in fault.what
    assert str(fault).startswith(f"{file}:2: error: ")
    assert "\n" not in str(fault)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (line()[:-100], "the last line is torn"),
        (line().replace(b'"schema":2', b'"schema":1'), "schema 1 is migrated to 2"),
        (line(environment={"threads": 2}), "the commit of the code that measured it is unknown"),
        (line(environment={**sound().environment, "dirty": True}), "code that was not committed"),
        (line(environment={**sound().environment, "load_average": 3.5}), "load average 3.5 before a cell of 2 threads"),
        (line(spec=make_spec(variant="mine"), id=make_spec(variant="mine").key()), "variant 'mine' is unknown here"),
        (
            line(measurements=measured(forward_s=[0.5, 0.5], anchor_ratio=[1.0, 1.0])),
            "forward_s has 2 samples; 3 are needed for an interval",
        ),
        (
            line(measurements={"forward_s": [0.5] * 3, "peak_memory_bytes": [4096.0]}, clocks={"forward_s": "wall"}),
            "no anchor was timed beside it",
        ),
        (line(clocks={"forward_s": "wall"}), "no clock is named for anchor_s"),
    ],
)
def test_each_warning_is_found_in_its_line(results: Path, text: bytes, said: str) -> None:
    file = session(results, line(started_at="2026-11-22T00:00:01Z"), text)
    fault = only(results)
    assert (fault.file, fault.line, fault.level) == (file, 2, "warning")
    assert said in fault.what


def test_an_unknown_task_is_a_warning(results: Path) -> None:
    spec = make_spec(**{**TASK, "task": "mine"})
    session(results, line(spec=spec, id=spec.key(), measurements={"bits_per_byte": [1.5]}, clocks={}))
    assert only(results).what == "task 'mine' is unknown here"


def test_a_line_that_is_there_twice_is_an_error_and_a_cell_measured_again_is_none(results: Path) -> None:
    session(results, line(), line(started_at="2026-11-22T00:01:00Z"), line())
    fault = only(results)
    assert (fault.line, fault.level) == (3, "error")
    assert "it is the cell of line 1" in fault.what
