"""`attnbench validate` knows which files belong to a store, reads them all, and says what it found."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from attnbench.store.report import Finding, Report
from attnbench.store.report import encode as encode_report
from attnbench.store.store import Store
from attnbench.store.validate import validate
from helpers.command import cli_here
from helpers.records import TASK, line, make_spec, only, session, sound

PEAKS = {
    "device": "cpu", "device_name": "a processor", "threads": 2, "torch": "2.13.0", "flops_per_s": {"float32": 1e11},
    "bandwidth": [[1048576, 1e10]], "anchor_s": [0.001], "measured_at": "2026-11-22T00:00:00Z",
}  # fmt: skip
MACHINE = {"schema": 1, "machine": "desk", "peaks": {"cpu": PEAKS}}


def test_a_store_as_it_should_be_has_no_faults(new_results: Path) -> None:
    store = Store(new_results)
    store.append(sound())
    store.append(sound(started_at="2026-11-22T00:00:02Z", status="oom", measurements={}, clocks={}, reason="too big", stage="time"))
    learnt = {"accuracy": [0.9], "peak_memory_bytes": [4096.0], "train_s": [3.0], "training_tokens_per_s": [1e4]}
    task = make_spec(**TASK)
    store.append(sound(spec=task, id=task.key(), measurements=learnt, clocks={"train_s": "wall"}))
    (new_results / "README.md").write_text("# Results\n")
    (new_results / "asv" / "desk").mkdir(parents=True)
    (new_results / "asv" / "desk" / "machine.json").write_text("NaN, which is asv's own matter")
    (new_results / "machines").mkdir()
    (new_results / "machines" / "desk.json").write_text(json.dumps(MACHINE))
    report = Report(variant="softmax", fingerprint="a" * 16, device="cpu", checks=[Finding(name="shape", status="passed", detail="")])
    (new_results / "checks").mkdir()
    (new_results / "checks" / f"softmax-{'a' * 16}.json").write_bytes(encode_report(report))
    seen: Counter[str] = Counter()
    assert list(validate(new_results, seen)) == []
    assert seen == {"records": 3, "reports": 1, "machines": 1}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (f"checkpoints/{'0' * 16}-{'f' * 16}.pt", "a training run was cut short; the command that began it goes on with it"),
        ("checkpoints/20261130T000000Z-abcdef.run", "a command on a Ray cluster is running or was killed"),
        ("asv/desk/0123abcd-virtualenv.json", "not JSON"),
    ],
)
def test_what_a_run_or_asv_left_unfinished_is_a_warning(new_results: Path, name: str, said: str) -> None:
    file = new_results / name
    file.parent.mkdir(parents=True)
    file.write_text("")
    fault = only(new_results)
    assert (fault.file, fault.level) == (file, "warning")
    assert said in fault.what


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "checkpoints/notes.txt",
        "records/loose.jsonl",
        "records/desk/notes.txt",
        "records/desk/more/deep.jsonl",
        "checks/x.txt",
        "machines/.desk.json.17",
    ],
)
def test_a_file_where_none_belongs_is_an_error(new_results: Path, name: str) -> None:
    file = new_results / name
    file.parent.mkdir(parents=True)
    file.write_text("")
    fault = only(new_results)
    assert (fault.file, fault.line, fault.level) == (file, None, "error")
    assert str(fault).startswith(f"{file}: error: no file belongs here")


def report_of(**fields: Any) -> bytes:
    given = {"variant": "softmax", "fingerprint": "a" * 16, "device": "cpu", "checks": [Finding(name="shape", status="passed", detail="")]}
    return encode_report(Report(**{**given, **fields}))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("checks/softmax-1.json", b"{", "it is no check report"),
        ("checks/softmax-1.json", report_of().replace(b'"schema": 1', b'"schema": 7'), "it is no check report"),
        ("checks/softmax-1.json", report_of(), "it is the report of fingerprint aaaaaaaaaaaaaaaa, which its name does not say"),
        (
            f"checks/softmax-{'a' * 16}.json",
            report_of(checks=[Finding(name="shape", status="failed", detail="File /srv/x/y.py")]),
            "checks[0].detail gives away the path '/srv/x/y.py'",
        ),
        ("machines/desk.json", b"{", "it cannot be read"),
        ("machines/desk.json", json.dumps({**MACHINE, "schema": 7}).encode(), "it cannot be read"),
        ("machines/desk.json", json.dumps({**MACHINE, "peaks": {"cpu": {}}}).encode(), "these are no peaks"),
        ("machines/desk.json", json.dumps(MACHINE).replace("0.001", "NaN").encode(), "it cannot be read"),
        ("machines/desk.json", json.dumps({**MACHINE, "peaks": {"cuda": PEAKS}}).encode(), "say that they are of 'cpu'"),
        ("machines/other.json", json.dumps(MACHINE).encode(), "its machine is 'desk', and the file's name says 'other'"),
        ("machines/desk.json", json.dumps(MACHINE).replace("a processor", "/srv/x/y").encode(), "peaks.cpu.device_name gives away"),
    ],
)
def test_reports_and_peaks_are_looked_at_too(new_results: Path, name: str, content: bytes, said: str) -> None:
    file = new_results / name
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    fault = only(new_results)
    assert (fault.file, fault.line, fault.level) == (file, None, "error")
    assert said in fault.what


def test_the_command_prints_a_line_a_fault_and_a_summary(new_results: Path) -> None:
    file = session(new_results, line(id="0" * 16), line(environment={}))
    done = cli_here("validate", str(new_results))
    assert done.returncode == 1
    first, second, summary = done.stdout.splitlines()
    assert first.startswith(f"{file}:1: error: its id is '0000000000000000'")
    assert second.startswith(f"{file}:2: warning: the commit")
    assert summary == f"{new_results}: 2 records, 1 error, 1 warning"


def test_the_command_prints_json(new_results: Path) -> None:
    file = session(new_results, line(environment={}))
    done = cli_here("validate", str(new_results), "--json")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert (told["records"], told["errors"], told["warnings"]) == (1, 0, 1)
    (fault,) = told["faults"]
    assert (fault["file"], fault["line"], fault["level"]) == (str(file), 1, "warning")


def test_without_a_folder_the_command_says_so(new_results: Path) -> None:
    done = cli_here("validate", str(new_results))
    assert done.returncode == 2
    assert "no results folder" in done.stderr


def test_what_attnbench_run_writes_has_no_errors(results: Path) -> None:
    cell = '{"track":"kernel","variant":"softmax","seq_len":32,"mode":"forward"}'
    assert cli_here("run", "--cell", cell, "--results", str(results)).returncode == 0
    done = cli_here("validate", str(results))
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].startswith(f"{results}: 1 record, 0 errors")
