"""Files of a store that editors, merges and other systems made something else of: each is told of, and takes nothing else along."""

from __future__ import annotations

import codecs
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from attnbench.errors import BadInput
from attnbench.store.peaks import from_json, stored_peaks
from attnbench.store.record import UnreadableRecord, decode, encode, why_unreadable
from attnbench.store.report import Finding, Report
from attnbench.store.report import decode as decode_report
from attnbench.store.report import encode as encode_report
from attnbench.store.store import Problem, Store
from helpers.command import cli_here
from helpers.records import know_machine, line, make_peaks, make_record, make_spec, only, session, sound

LINES = (line(started_at="2026-11-22T00:00:01Z"), line(started_at="2026-11-22T00:00:02Z"))
WHOLE = b"".join(LINES)
ARRAY = b"[" + b",".join(one.rstrip() for one in LINES) + b"]"
UNREADABLE: dict[str, tuple[bytes, str]] = {
    "a JSON array": (ARRAY, "it begins a JSON array; write one object a line"),
    "CR line ends": (WHOLE.replace(b"\n", b"\r"), "its lines end in CR alone; end them in LF"),
    "UTF-16": (WHOLE.decode().encode("utf-16"), "UTF-16 most likely; save it as UTF-8"),
    "UTF-16 without a mark": (WHOLE.decode().encode("utf-16-le"), "UTF-16 most likely"),
    "UTF-32": (WHOLE.decode().encode("utf-32"), "no UTF-8"),
    "gzip": (gzip.compress(WHOLE, mtime=0), "it is compressed by gzip; unpack it"),
    "nothing": (b"", "no record in it can be read"),
    "blank lines": (b"\n \r\n\t\n", "no record in it can be read"),
    "a byte order mark": (codecs.BOM_UTF8, "no record in it can be read"),
    "the beginning of a record": (WHOLE[:100], "no record in it can be read"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "the line cannot be read"),
    "one object over many lines": (json.dumps(json.loads(LINES[0]), indent=2).encode(), "the line cannot be read"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_file_in_which_nothing_can_be_read_is_an_error(new_results: Path, kind: str) -> None:
    content, said = UNREADABLE[kind]
    session(new_results, content)
    done = cli_here("validate", str(new_results))
    assert done.returncode == 1
    assert said in done.stdout and "error: no record in it can be read" in done.stdout
    assert f"{new_results}: 0 records, " in done.stdout.splitlines()[-1]
    assert "unexpected error" not in cli_here("show", "--results", str(new_results)).stderr


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("records/desk/20261122T000000Z-bbbbbb.jsonl", "Is a directory"),
        ("checks/softmax-0.json", "Is a directory"),
        ("machines/desk.json", "Is a directory"),
    ],
)
def test_a_folder_where_a_file_should_be_is_an_error_and_the_rest_is_read(new_results: Path, name: str, error: str) -> None:
    session(new_results, *LINES)
    (new_results / name).mkdir(parents=True)
    done = cli_here("validate", str(new_results))
    assert done.returncode == 1 and f"{name}: error: it cannot be read: {error}" in done.stdout
    problems: list[Problem] = []
    assert len(list(Store(new_results).read(problems))) == 2
    assert all(problem.line is None and error in problem.why for problem in problems)
    for command in (
        ("show",),
        ("site", "--out", str(new_results.parent / "dist")),
        ("doctor", "--json"),
        ("export", str(new_results / "x.csv")),
    ):
        done = cli_here(*command, "--results", str(new_results), ATTNBENCH_MACHINE="desk")
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "of",
    [
        lambda content: codecs.BOM_UTF8 + content,
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: codecs.BOM_UTF8 + content.replace(b"\n", b"\n" + codecs.BOM_UTF8),
        lambda content: b"\n\n" + content + b"  \n",
        lambda content: content.rstrip(b"\n"),
    ],
    ids=["a byte order mark", "CR LF", "a mark before every line", "blank lines", "no end of the last line"],
)
def test_what_editors_add_is_read_past(new_results: Path, of: Callable[[bytes], bytes]) -> None:
    session(new_results, of(WHOLE))
    problems: list[Problem] = []
    assert [record.started_at[-3:] for record in Store(new_results).read(problems)] == ["01Z", "02Z"]
    assert problems == []
    done = cli_here("validate", str(new_results))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"{new_results}: 2 records, 0 errors, 0 warnings")


def test_other_files_are_read_past_a_byte_order_mark_too(new_results: Path) -> None:
    report = Report(variant="softmax", fingerprint="a" * 16, device="cpu", checks=[Finding(name="shape", status="passed", detail="")])
    assert decode_report(codecs.BOM_UTF8 + encode_report(report)) == report
    document = {"schema": 1, "machine": "desk", "peaks": {"cpu": make_peaks().as_json()}}
    file = new_results / "machines" / "desk.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(codecs.BOM_UTF8 + json.dumps(document).encode())
    assert stored_peaks(new_results, "desk") == {"cpu": make_peaks()}
    assert cli_here("validate", str(new_results)).returncode == 0


def changed(**fields: Any) -> bytes:
    """The line of a record with other values in it."""
    return json.dumps({**json.loads(line()), **fields}).encode() + b"\n"


def with_axes(**axes: Any) -> bytes:
    return changed(spec={**json.loads(line())["spec"], **axes})


CELL = '{"track":"kernel","variant":"softmax","seq_len":16,"mode":"forward"}'
DEEP = json.loads("[" * 50 + "]" * 50)
# The smallest line of each kind that a command could not show, and what is said of it.
NOT_SHOWN = {
    "a size of 64 bits": (with_axes(seq_len=2**63), "seq_len is 9223372036854775808; it must be"),
    "a size that no float holds": (with_axes(seq_len=2**53 + 1), "seq_len is 9007199254740993"),
    "a width of 64 bits": (with_axes(num_heads=2**40, head_dim=2**40), "num_heads * head_dim is"),
    "a seed of 65 bits": (with_axes(seed=2**63), "seed is"),
    "a parameter of 65 bits": (with_axes(params={"a": 2**64}), "parameter 'a' is"),
    "a parameter of dicts": (with_axes(params={"a": {"b": 1}}), "Expected"),
    "no size": (with_axes(seq_len=0), "seq_len is 0"),
    "a negative size": (with_axes(batch_size=-1), "batch_size is -1"),
    "an unknown dtype": (with_axes(dtype="float8"), "unknown dtype 'float8'"),
    "no name": (with_axes(variant=" "), "variant is ' '"),
    "a name of two lines": (with_axes(variant="a\nb"), r"variant is 'a\nb'"),
    "a name that moves the cursor": (with_axes(variant="\x1b[2J"), "variant is"),
    "half a letter": (with_axes(variant="\ud800"), "surrogate"),
    "a list of versions": (changed(environment={"torch": ["2.13.0"]}), "Expected `str | null`, got `array` - at `$.torch`"),
    "a version of no letters": (changed(environment={"torch": ""}), "at `$.torch`"),
    "a text of threads": (changed(environment={"threads": "2"}), "at `$.threads`"),
    "a text of seconds": (changed(environment={"timeout_s": "600"}), "at `$.timeout_s`"),
    "no seconds": (changed(environment={"timeout_s": None}), "at `$.timeout_s`"),
    "a commit that is a number": (changed(environment={"commit": 7}), "at `$.commit`"),
    "gpus by name": (changed(environment={"gpus": {"name": "x"}}), "at `$.gpus`"),
    "a gpu that is a text": (changed(environment={"gpus": ["x"]}), "at `$.gpus[0]`"),
    "no memory": (changed(environment={"memory_bytes": -1}), "at `$.memory_bytes`"),
    "a drift anchor of nothing": (changed(environment={"drift_anchor_baseline_s": 0}), "at `$.drift_anchor_baseline_s`"),
    "an unknown fact of 65 bits": (changed(environment={"x": [2**64]}), "more than 64 bits - at `$.x`"),
    "an unknown fact without end": (changed(environment={"x": DEEP}), "nested more than 8 deep - at `$.x`"),
    "brackets without end": (line().replace(b'"environment":{', b'"environment":{"x":' + b"[" * 100_000), "recursion"),
    "a number without end": (changed(duration_s=10**400), "Number out of range"),
    "a time that there is not": (changed(started_at="2026-02-30T00:00:00Z"), "started_at is '2026-02-30T00:00:00Z'; write UTC"),
    "a time in other digits": (changed(started_at="٢٠٢٦-11-22T00:00:00Z"), "write UTC"),
    "a machine that is a path": (changed(machine="../up"), "its machine is '../up', which cannot name a file"),
    "a machine with a line's end": (changed(machine="desk\n"), "which cannot name a file"),
    "a session without a name": (changed(session=""), "its session is '', which cannot name a file"),
    "no id": (changed(id=""), "its id is ''"),
    "a measurement that is too large": (changed(measurements={"forward_s": [1e308]}), "at `$.measurements[...][0]`"),
    "a curve that is too large": (changed(curve={"train_loss": [-1e200]}), "at `$.curve[...][0]`"),
    "a metric without a name": (changed(measurements={"": [1.0]}), "it has numbers of the name ''"),
    "a metric of the curve's": (changed(measurements={"curve.train_loss": []}), "begins the names of a training curve's columns"),
    "a time of nothing": (changed(measurements={"train_s": [1.0, 0.0]}), "train_s holds 0.0; a time is positive"),
    "a time too small for a ratio": (changed(measurements={"forward_s": [5e-324]}), "forward_s holds 5e-324; a time is positive"),
    "less than no time": (changed(duration_s=-1), "at `$.duration_s`"),
}


@pytest.mark.parametrize("kind", NOT_SHOWN)
def test_a_line_that_cannot_be_shown_is_named_and_left_out(new_results: Path, kind: str) -> None:
    content, said = NOT_SHOWN[kind]
    file = session(new_results, LINES[0], content, LINES[1])
    fault = only(new_results)
    assert (fault.file, fault.line, fault.level) == (file, 2, "error") and said in fault.what
    problems: list[Problem] = []
    assert len(list(Store(new_results).read(problems))) == 2
    assert [(problem.file, problem.line) for problem in problems] == [(file, 2)] and said in problems[0].why


@pytest.mark.long
def test_every_command_names_those_lines_and_shows_the_others(new_results: Path) -> None:
    file = session(new_results, LINES[0], *(content for content, _ in NOT_SHOWN.values()), LINES[1])
    know_machine(new_results, "desk")
    out, page = new_results.parent / "x.parquet", new_results.parent / "dist"
    commands = (
        ("show",), ("claims",), ("compare", "softmax", "softmax"), ("export", str(out)), ("site", "--out", str(page)), ("run", "--cell",
        CELL),
    )  # fmt: skip
    for command in commands:
        done = cli_here(*command, "--results", str(new_results), ATTNBENCH_MACHINE="desk")
        told = done.stdout + done.stderr
        assert "unexpected error" not in told
        if command[0] != "compare":
            assert all(f"{file}:{number}: " in told for number in range(2, 2 + len(NOT_SHOWN))), command
    assert len(pd.read_parquet(out)["started_at"].unique()) == 2 and (page / "index.html").is_file()


@pytest.mark.parametrize("letters", ["x", "x.", "/x", "~/x", "a@x.", "[", " ", "é"])
def test_a_text_of_a_million_letters_takes_no_longer_than_its_letters(new_results: Path, letters: str) -> None:
    """What grows with the square of the length would not end."""
    session(new_results, line(status="error", reason=letters * (1_000_000 // len(letters)) + "!"))
    assert "unexpected error" not in cli_here("validate", str(new_results)).stderr


def test_what_a_record_holds_twice_is_an_error(new_results: Path) -> None:
    session(new_results, LINES[0].replace(b'"schema":2', b'"schema":2,"status":"error"'))
    done = cli_here("validate", str(new_results))
    assert done.returncode == 1 and "it has 'status' twice in one object" in done.stdout


def test_a_field_more_that_has_no_end_is_an_error(new_results: Path) -> None:
    session(new_results, LINES[0].replace(b"{", b'{"more":' + b"[" * 900 + b"]" * 900 + b",", 1))
    assert "unexpected error" not in cli_here("validate", str(new_results)).stderr


def test_columns_of_a_curve_that_differ_in_length_are_an_error(new_results: Path) -> None:
    session(new_results, line(curve={"step": [0.0, 1.0], "train_loss": [1.0]}))
    done = cli_here("validate", str(new_results))
    assert done.returncode == 1 and "the columns of its curve have from 1 to 2 entries" in done.stdout


def test_machines_that_differ_in_case_alone_are_a_warning_and_a_new_one_is_refused(new_results: Path) -> None:
    session(new_results, *LINES)
    with pytest.raises(BadInput, match="'desk', and 'Desk' differs from it in case alone"):
        Store(new_results).append(sound(machine="Desk"))
    other = new_results / "records" / "Desk" / "20261122T000000Z-abcdef.jsonl"
    other.parent.mkdir()
    other.write_bytes(line(machine="Desk"))
    done = cli_here("validate", str(new_results))
    assert done.returncode == 0 and "warning: its name differs from 'Desk' in case alone" in done.stdout


@pytest.mark.parametrize("name", ["con", "NUL", "com1.old", "lpt9", "aux.", "desk."])
def test_a_new_machine_has_a_name_that_every_system_can_store_and_an_old_one_is_read(new_results: Path, name: str) -> None:
    with pytest.raises(BadInput, match="Windows"):
        Store(new_results).append(sound(machine=name))
    file = new_results / "records" / name / "20261122T000000Z-abcdef.jsonl"
    file.parent.mkdir(parents=True)
    file.write_bytes(line(machine=name))
    Store(new_results).append(sound(machine=name, started_at="2026-11-22T00:00:05Z"))
    assert len(list(Store(new_results).read([]))) == 2


def test_what_could_not_be_read_back_is_not_stored(new_results: Path) -> None:
    odd = make_record(environment={"torch": ["2.13"]})
    assert "$.torch" in (why_unreadable(odd) or "")
    with pytest.raises(BadInput, match="could not be read back"):
        Store(new_results).append(odd)
    with pytest.raises(UnreadableRecord):
        decode(encode(odd))
    assert why_unreadable(make_record()) is None and not new_results.exists()


REPORT = {
    "schema": 1, "variant": "softmax", "fingerprint": "a" * 16, "device": "cpu", "params": {},
    "checks": [{"name": "shape", "status": "passed", "detail": "", "value": None, "allowed": None}],
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"params": {"a": 2**64}}, {"params": {"a": {"b": 1}}}, {"params": {"a": DEEP}}, {"variant": ""}, {"variant": "a\nb"},
        {"checks": []},
        {"checks": [{"name": "", "status": "passed", "detail": ""}]}, {"checks": [{"name": "x", "status": "fine", "detail": ""}]},
        {"checks": [{"name": "x", "status": "passed", "detail": "", "value": "1"}]},
    ],
)  # fmt: skip
def test_a_damaged_report_is_none(change: dict[str, Any]) -> None:
    assert decode_report(json.dumps(REPORT).encode()) is not None
    assert decode_report(json.dumps({**REPORT, **change}).encode()) is None
    assert decode_report(b"[" * 100_000) is None


@pytest.mark.parametrize(
    "change",
    [
        {"threads": 1e999}, {"threads": "2"}, {"threads": 2**64}, {"device_name": ["x"]}, {"device_name": "\x1b[2J"}, {"measured_at": {}},
        {"bandwidth": [[10**400, 1e9]]}, {"bandwidth": [[1e999, 1e9]]}, {"bandwidth": 7}, {"flops_per_s": {"float32": 10**400}},
        {"flops_per_s": {"float32": 1e300}}, {"flops_per_s": []}, {"anchor_s": ["x"]}, {"anchor_s": [0.0]}, {"torch": None},
    ],
)  # fmt: skip
def test_damaged_peaks_are_none(new_results: Path, change: dict[str, Any]) -> None:
    given = json.loads(json.dumps(make_peaks().as_json()))
    assert from_json(given) == make_peaks()
    with pytest.raises(BadInput, match=r"these are no peaks|peaks need|peaks of device"):
        from_json({**given, **change})
    file = new_results / "machines" / "desk.json"
    file.parent.mkdir(parents=True)
    for content in (json.dumps({"schema": 1, "machine": "desk", "peaks": {"cpu": {**given, **change}}}).encode(), b"[" * 100_000):
        file.write_bytes(content)
        assert stored_peaks(new_results, "desk") == {}
        assert cli_here("validate", str(new_results)).returncode == 1


def test_a_spec_of_a_store_is_what_a_cell_may_be() -> None:
    """The largest that is allowed can be stored and read."""
    spec = make_spec(seq_len=2**53, seed=-(2**63), params={"a": [2**63 - 1, -(2**63), 1.7976931348623157e308, 5e-324, None, True, "\0"]})
    record = make_record(spec)
    assert decode(encode(record)) == record
