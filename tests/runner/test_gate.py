"""No number from a red gate: a variant that fails its checks is recorded as incorrect and not timed, and is checked once."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from rich.console import Console

import attnbench
from attnbench.cli.run import Choice, sweep
from attnbench.measurement.checks import CORRECTNESS
from attnbench.runner import asv
from attnbench.runner.cell import CheckRequest, resolve
from attnbench.runner.engines.local import run_one_by_one
from attnbench.runner.finished import Finished
from attnbench.runner.gate import Gate, check
from attnbench.runner.jobs import Limits
from attnbench.runner.session import Session
from attnbench.store import environment, hardware
from attnbench.store.record import Record
from attnbench.store.report import Finding, Report, decode, encode
from attnbench.store.store import Store
from helpers.records import make_record, make_spec

TEMPLATE = (Path(attnbench.__file__).parent / "variants" / "_template.py").read_text()
FORWARD = "return self.matrix(q, k, causal, padding_mask) @ v"
LEAKY = TEMPLATE.replace("(v,) = hide_padding(padding_mask, v)", "")


def write(folder: Path, text: str) -> str:
    folder.mkdir(exist_ok=True)
    file = folder / "mine.py"
    file.write_text(text)
    return str(file)


def run(source: str, results: Path, *lengths: int, **limits: float) -> list[Record]:
    """The records of kernel cells of a file, by the engine, with a gate of their own."""
    cells = [resolve(make_spec(variant="mine", seq_len=length), {"mine": source}) for length in lengths]
    return run_one_by_one(cells, Session("session", Limits(**limits)), Gate(results))


def reports(results: Path) -> list[Path]:
    return sorted((results / "checks").iterdir())


def test_a_variant_that_fails_its_checks_is_incorrect_and_not_timed(results: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "alice's private", LEAKY)
    records = run(source, results, 16, 32)
    for record in records:
        assert (record.status, record.stage) == ("incorrect", "check")
        assert (record.reason or "").startswith("padding: rows of the output at padding are not zero")
        assert record.measurements == {}
    (file,) = reports(results)
    assert re.fullmatch(r"mine-[0-9a-f]{16}\.json", file.name)
    report = decode(file.read_bytes())
    assert report is not None and report.failed() == ["padding"]
    assert [finding.name for finding in report.checks] == list(CORRECTNESS)
    assert "private" not in file.read_text() + (records[0].reason or "")


def test_a_variant_that_holds_is_measured(results: Path, tmp_path: Path) -> None:
    (record,) = run(write(tmp_path / "good", TEMPLATE), results, 16)
    assert record.status == "ok"
    assert record.measurements["forward_s"]
    report = decode(reports(results)[0].read_bytes())
    assert report is not None and report.ok


def test_a_report_is_used_until_the_file_is_edited(results: Path, tmp_path: Path) -> None:
    """The stored report is given another verdict, which only a reader of it can know."""
    source = write(tmp_path / "good", TEMPLATE)
    run(source, results, 16)
    (file,) = reports(results)
    report = decode(file.read_bytes())
    assert report is not None
    planted = Finding(name="batch", status="failed", detail="as the stored report says")
    file.write_bytes(encode(dataclasses.replace(report, checks=[planted])))
    (record,) = run(source, results, 16)
    assert record.reason == "batch: as the stored report says"
    edited = write(tmp_path / "edited", TEMPLATE + "EDITED = True\n")  # a file is loaded once, so that it lies elsewhere
    assert run(edited, results, 16)[0].status == "ok"
    assert len(reports(results)) == 2


@pytest.mark.parametrize("content", [b"", b'{"schema": 1, "vari', b"[]", b"\xff\xfe", b'{"schema":99}'])
def test_a_torn_or_foreign_report_is_ignored(results: Path, content: bytes) -> None:
    gate, request = Gate(results), CheckRequest("softmax", {}, "cpu")
    (results / "checks").mkdir()
    file = gate._file(request)
    file.write_bytes(content)
    assert gate.known(request) is None
    foreign = Report(variant="softmax", fingerprint="0" * 16, device="cpu")
    file.write_bytes(encode(foreign))
    assert gate.known(request) is None


def test_a_torn_report_is_written_anew(results: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "leaky", LEAKY)
    run(source, results, 16)
    (file,) = reports(results)
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    assert run(source, results, 16)[0].status == "incorrect"
    assert file.read_bytes() == whole
    assert reports(results) == [file]  # nothing unfinished lies about


def test_what_decides_a_check_is_in_its_fingerprint(tmp_path: Path) -> None:
    request = CheckRequest("polynomial", {"degree": 3, "scale": "sqrt"}, "cpu")
    others = [
        dataclasses.replace(request, params={"degree": 2, "scale": "sqrt"}),
        dataclasses.replace(request, device="cuda"),
        dataclasses.replace(request, source="softmax"),
        CheckRequest(write(tmp_path / "one", TEMPLATE), {}, "cpu"),
        CheckRequest(write(tmp_path / "two", TEMPLATE + "EDITED = True\n"), {}, "cpu"),
    ]
    assert len({one.fingerprint() for one in (request, *others)}) == 6
    assert dataclasses.replace(request).fingerprint() == request.fingerprint()


@pytest.mark.usefixtures("fork_server")
def test_a_check_that_does_not_end_is_no_verdict(results: Path, tmp_path: Path) -> None:
    """It is a timeout of the cell, met once by a command, and tried again by the next."""
    source = write(tmp_path / "slow", TEMPLATE.replace("(v,) =", "__import__('time').sleep(600); (v,) =", 1))
    records = run(source, results, 16, 32, timeout_s=5.0)
    assert [(record.status, record.stage) for record in records] == [("timeout", "check: deterministic")] * 2
    assert records[1].stages_s == {}, "it was checked twice"
    assert not (results / "checks").exists()


def test_what_is_not_here_stays_unavailable(results: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "needy", TEMPLATE.replace("VARIANT = Variant(", "VARIANT = Variant(needs=('no_such_package',), "))
    (record,) = run(source, results, 16)
    assert (record.status, record.stage) == ("unavailable", "check: build")
    assert "no_such_package" in (record.reason or "")
    assert not (results / "checks").exists()


def test_a_disk_without_room_for_the_report_does_not_stop_the_cell(new_results: Path, tmp_path: Path) -> None:
    new_results.write_text("a file where the folder should be")
    assert run(write(tmp_path / "good", TEMPLATE), new_results, 16)[0].status == "ok"


def test_a_refused_cell_is_finished_while_the_refusal_stands(results: Path, tmp_path: Path) -> None:
    """Checks may be mended: then no report of these sources is there, and the cell is due again."""
    source = write(tmp_path / "leaky", LEAKY)
    spec = make_spec(variant="mine", seq_len=16)
    choice = Choice(variants=(source,), cell=spec.compact())
    quiet = Console(quiet=True)
    assert sweep(choice, results, 60.0, rerun=False, dry_run=False, console=quiet, busy=True) == 1
    assert sweep(choice, results, 60.0, rerun=False, dry_run=False, console=quiet, busy=True) == 1
    (record,) = Store(results).read()
    cell, gate = resolve(spec, {"mine": source}), Gate(results)
    assert Finished({cell.key: record}, gate, Limits()).record(cell) == record
    reports(results)[0].unlink()
    assert Finished({cell.key: record}, gate, Limits()).record(cell) is None
    other = dataclasses.replace(record, stage="verify")
    assert Finished({cell.key: other}, gate, Limits()).record(cell) == other
    assert sweep(choice, results, 60.0, rerun=False, dry_run=False, console=quiet, busy=True) == 1
    assert len(list(Store(results).read())) == 2


def test_readers_of_the_store_see_no_reports(results: Path) -> None:
    store = Store(results)
    store.append(make_record())
    before = attnbench.load(results)
    (results / "checks").mkdir()
    (results / "checks" / "softmax-0123456789abcdef.json").write_bytes(encode(Report(variant="softmax", fingerprint=None, device="cpu")))
    (results / "checks" / "torn.json").write_text("{")
    assert attnbench.load(results).equals(before)
    assert len(list(store.read())) == 1


def test_asv_meets_the_same_gate(results: Path) -> None:
    """A stored refusal of softmax, so that nothing is forked here."""
    values, (spec,) = next((values, specs) for values, specs in asv.cells_of("kernel").items() if specs[0].variant == "softmax")
    cell = resolve(spec)
    planted = Report(
        variant="softmax",
        fingerprint=cell.check_request.fingerprint(),
        device="cpu",
        checks=[Finding(name="batch", status="failed", detail="planted")],
    )
    file = Gate(results)._file(cell.check_request)
    file.parent.mkdir(parents=True)
    file.write_bytes(encode(planted))
    (record,) = asv.records_of("kernel", values, results)
    assert (record.status, record.stage, record.reason) == ("incorrect", "check", "batch: planted")
    assert Store(results).finished(environment.machine_name())[cell.key] == record


def test_a_check_for_which_its_part_of_the_memory_is_too_little_is_made_once_more_alone(tmp_path: Path) -> None:
    """It decides of cells that are alone as well."""
    allocating = TEMPLATE.replace(FORWARD, f"v.new_empty(2**31 // v.element_size())\n        {FORWARD}")
    request = CheckRequest(write(tmp_path / "large", allocating), {}, "cpu")
    alone = Limits(memory_share=3 * 2**30 / (hardware.memory_bytes() or 2**40))
    found = check(request, "forkserver", alone.shared_by(2))
    assert found.status == "ok" and isinstance(found.value, Report) and found.value.ok
    assert check(request, "forkserver", dataclasses.replace(alone.shared_by(2), jobs=1)).status == "oom"
