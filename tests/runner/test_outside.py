"""An error whose cause may lie outside its cell is tried again by the same command; others when they are asked for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import attnbench
from attnbench.runner import asv
from attnbench.runner.cell import resolve
from attnbench.runner.engines.local import run_one_by_one
from attnbench.runner.finished import Finished
from attnbench.runner.gate import Gate
from attnbench.runner.jobs import Limits
from attnbench.runner.outside import may_lie_outside
from attnbench.runner.plan import Choice, choose
from attnbench.runner.session import Session
from attnbench.spec import tuning
from attnbench.store import environment
from attnbench.store.facts import APART
from attnbench.store.record import Record
from attnbench.store.report import Finding, Report, encode
from attnbench.store.store import Store
from helpers.command import cli_here
from helpers.records import make_record, make_spec

TEMPLATE = (Path(attnbench.__file__).parent / "variants" / "_template.py").read_text(encoding="utf-8")
CELL = '{"track":"kernel","variant":"%s","seq_len":32,"mode":"forward"}'

OUTSIDE = [  # stage and reason, as records hold them
    ("start", "ValueError: current limit exceeds maximum limit"),
    ("start", "RuntimeError: anything"),
    ("load data", "ValueError: anything"),
    ("check: start", "RuntimeError: anything"),
    ("check: load", "variant 'mine' cannot be imported: ModuleNotFoundError: No module named 'x'; install what it needs"),
    ("check: float32", "it raises PermissionError: [Errno 13] Permission denied: 'cache'"),
    ("time", "PermissionError: [Errno 13] Permission denied: 'cache'\nla la"),
    ("warm up", "FileNotFoundError: [Errno 2] No such file or directory: 'x'"),
    ("build", "OSError: [Errno 30] Read-only file system: 'x'"),
    ("build", "OSError: [Errno 28] No space left on device"),
    ("build", "ImportError: libcudart.so.12: cannot open shared object file"),
    ("build", "ModuleNotFoundError: No module named 'x'"),
    ("time", "BlockingIOError: [Errno 11] Resource temporarily unavailable"),
    ("time", "ConnectionResetError: [Errno 104] Connection reset by peer"),
    ("time", "RuntimeError: can't start new thread"),
    ("time", "RuntimeError: [enforce fail at inline_container.cc] PytorchStreamReader failed reading zip archive: not a ZIP archive"),
    ("build", "RuntimeError: CUDA driver initialization failed, you might not have a CUDA gpu."),
    ("build", "AcceleratorError: CUDA error: all CUDA-capable devices are busy or unavailable"),
    ("build", "RuntimeError: Found no NVIDIA driver on your system."),
    ("warm up", "torch._inductor.exc.InvalidCxxCompiler: No working C++ compiler found in the configuration"),
    ("warm up", "subprocess.CalledProcessError: Command '['gcc']' returned non-zero exit status 1."),
    ("warm up", "BackendCompilerFailed: backend='inductor' raised: x"),
    ("build", "ValueError: not allowed to raise maximum limit"),
    ("build", "ValueError: current limit exceeds maximum limit"),
    ("train", "RuntimeError: DataLoader worker (pid 1) is killed by signal: Killed."),
    ("train", "RuntimeError: DataLoader worker (pid(s) 1, 2) exited unexpectedly"),
    ("time", "RuntimeError: [Errno 1] Operation not permitted"),
    ("time", "RuntimeError: unable to open shared memory object </torch_1> in read-write mode: Permission denied (13)"),
    ("time", "HfError: Permission denied (os error 13)"),
    ("time", "RuntimeError: the connection timed out after 30 s"),
    ("time", "died of SIGSEGV"),
    ("time", "ended with exit code 3 and no result"),
    ("time", "closed its pipe to the harness and gave no result"),
    ("time", "sent what cannot be read: EOFError: "),
    ("time", None),
    ("not tried", "variant 'mine' cannot be imported: OSError: no disk; mend its file"),
]
INSIDE = [
    ("time", "boom"),
    ("time", "RuntimeError: boom"),
    ("time", "IndexError: index 3 is out of bounds: PermissionError"),
    ("build", "TypeError: build() got an unexpected keyword argument 'degree'"),
    ("warm up", "RuntimeError: Given normalized_shape=[65], expected input with shape [*, 65]"),
    ("warm up", "RuntimeError: CUDA error: device-side assert triggered"),
    ("build", "BadInput: build of mine changes what the whole process shares"),
    ("check", "mine declares no VARIANT; end the file in VARIANT = Variant(...)"),
    ("not tried", "variant 'mine' cannot be imported: SyntaxError: invalid syntax; mend its file"),
    ("time", "RuntimeError: operation not permitted on views"),
    ("check: shape", "it raises RuntimeError: permission denied by this mechanism's own mask"),
    ("time", "RuntimeError: the window timed out of range"),
    ("time", "ValueError: the window timed out of range"),
    ("time", "ValueError: the scores exceed maximum limit"),
    ("time", "TypeError: cuda driver of this kernel takes no float16"),
    ("check: float32", "it raises AssertionError: file too large for the tile"),
    ("time", "KeyError: 'timed out'"),
    ("time", "NotImplementedError: input/output error bounds of half precision"),
    ("time", "ClockError: the clock advanced by -1 s during a call"),
]


def failed(spec_variant: str = "softmax", **fields: object) -> Record:
    cell = resolve(make_spec(variant=spec_variant, seq_len=32))
    given = {"fingerprint": cell.fingerprint, "machine": environment.machine_name(), "measurements": {}, "status": "error", **fields}
    return make_record(cell.spec, **given)


@pytest.mark.parametrize(("stage", "reason"), OUTSIDE)
def test_the_cause_may_lie_outside(stage: str, reason: str | None) -> None:
    record = failed(stage=stage, reason=reason)
    assert may_lie_outside(record)
    assert not any(may_lie_outside(dataclasses.replace(record, status=status)) for status in ("ok", "oom", "timeout", "incorrect"))


@pytest.mark.parametrize(("stage", "reason"), INSIDE)
def test_the_cause_lies_in_the_cell(stage: str, reason: str) -> None:
    assert not may_lie_outside(failed(stage=stage, reason=reason))


def test_an_error_from_outside_is_tried_again_and_says_so_and_another_is_not(results: Path) -> None:
    store = Store(results)
    command = ("run", "--cell", CELL % "softmax", "--results", str(results))
    store.append(failed(stage="time", reason="RuntimeError: boom"))
    done = cli_here(*command)
    assert done.returncode == 1 and "Nothing to do" in done.stdout
    assert "1 cell ended in an error: `--retry errors` measures those again, and no others." in done.stdout
    store.append(failed(stage="build", reason="PermissionError: [Errno 13] Permission denied: 'cache'", started_at="2026-11-23T00:00:00Z"))
    told = "1 cell ended in an error whose cause may lie outside it, and is tried again."
    assert told in cli_here(*command, "--dry-run").stdout
    assert len(list(store.read())) == 2
    done = cli_here(*command)
    assert done.returncode == 0 and told in done.stdout, done.stdout
    assert [record.status for record in store.read()] == ["error", "error", "ok"]
    assert "Nothing to do" in cli_here(*command).stdout


def test_retry_errors_measures_the_chosen_cells_that_failed_and_no_others(results: Path) -> None:
    store = Store(results)
    store.append(failed("softmax", stage="time", reason="RuntimeError: boom"))
    store.append(failed("relu", status="oom", stage="time", reason="too large", environment={"memory_share": 1.0}))
    store.append(
        failed("gated", stage="time", reason="RuntimeError: boom", fingerprint="0" * 16)
    )  # before an edit, and newest all the same
    store.append(failed("cosine", stage="time", reason="RuntimeError: boom"))
    ok = {"status": "ok", "measurements": {"forward_s": [1.0]}, "started_at": "2026-11-23T00:00:00Z", "fingerprint": "1" * 16}
    store.append(failed("cosine", **ok))
    said = {}
    for variant in ("softmax", "relu", "gated", "cosine", "sigmoid"):
        said[variant] = cli_here("run", "--cell", CELL % variant, "--retry", "errors", "--dry-run", "--results", str(results)).stdout
    assert {variant for variant, text in said.items() if "1 cells to run" in text} == {"softmax", "gated"}
    done = cli_here("run", "--cell", CELL % "softmax", "--retry", "errors", "--results", str(results))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [(r.spec.variant, r.status) for r in store.read()][-1] == ("softmax", "ok")
    done = cli_here("run", "--cell", CELL % "softmax", "--retry", "errors", "--results", str(results))
    assert done.returncode == 0 and "none has an error as its newest record" in done.stdout


def test_retry_errors_of_a_preset_leaves_out_what_has_no_record(results: Path) -> None:
    """Tuned cells among it, of which the rate cannot be known without their trials; a trial that failed is one of those asked for."""
    choice = ("run", "--preset", "standard", "--track", "task", "--task", "mnist", "--variant", "softmax", "--results", str(results))
    assert "0 cells to run" in cli_here(*choice, "--retry", "errors", "--dry-run").stdout
    cells = choose(Choice(preset="standard", tracks=("task",), tasks=("mnist",), variants=("softmax",)))
    opened = next(cell for cell in cells if tuning.is_open(cell.spec))
    here = {"machine": environment.machine_name(), "environment": {**environment.describe(), "threads": 1, "timing": APART}}
    for spec in tuning.trials(opened.spec):
        measured = {"validation_loss": [abs(float(spec.lr or 0) - 3e-3) + 1e-9 * spec.seed], "diverged": [0.0]}
        Store(results).append(make_record(spec, fingerprint=opened.fingerprint, **here, measurements=measured))
    chosen = dataclasses.replace(opened.spec, lr=3e-3)
    error = {"status": "error", "measurements": {}, "stage": "train, epoch 1", "reason": "RuntimeError: boom"}
    Store(results).append(make_record(chosen, fingerprint=opened.fingerprint, **here, **error))
    said = cli_here(*choice, "--retry", "errors", "--dry-run").stdout
    assert "1 cells to run" in said and "seed 0" in said
    trial = tuning.trials(opened.spec)[0]
    Store(results).append(make_record(trial, fingerprint=opened.fingerprint, **here, **error))
    said = cli_here(*choice, "--retry", "errors", "--dry-run").stdout
    assert "tuning" in said and "2 cells to run" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--retry", "exmple"), "allowed: errors (attnbench run --help)"),
        (("--retry", "error"), "did you mean 'errors'?"),
        (("--retry", "errors", "--rerun"), "give one or the other"),
    ],
)
def test_bad_values_of_retry_are_bad_input(arguments: tuple[str, ...], said: str, new_results: Path) -> None:
    done = cli_here("run", "--cell", CELL % "softmax", *arguments, "--results", str(new_results))
    assert done.returncode == 2 and said in done.stderr


def test_a_session_tries_nothing_twice(results: Path) -> None:
    record = failed(stage="time", reason="died of SIGSEGV")
    cell = resolve(record.spec)
    records = {cell.key: record}
    assert Finished(records, Gate(results), Limits()).record(cell) is None
    assert Finished(records, Gate(results), Limits(), record.session).record(cell) == record
    assert not Finished(records, Gate(results), Limits(), record.session).retries(cell)


def test_asv_tries_it_again_too(results: Path) -> None:
    """A refusal of the checks is planted, so that nothing is forked here."""
    values, (spec,) = next((values, specs) for values, specs in asv.cells_of("kernel").items() if specs[0].variant == "softmax")
    cell = resolve(spec)
    given = {"fingerprint": cell.fingerprint, "machine": environment.machine_name(), "measurements": {}, "status": "error"}
    Store(results).append(make_record(cell.spec, stage="start", reason="OSError: no disk", **given))
    planted = Report(
        variant="softmax",
        fingerprint=cell.check_request.fingerprint(),
        device="cpu",
        checks=[Finding(name="batch", status="failed", detail="planted")],
    )
    file = Gate(results)._file(cell.check_request)
    file.parent.mkdir(parents=True)
    file.write_bytes(encode(planted))
    (record,) = asv.records_of.__wrapped__("kernel", values, results)
    assert record.reason == "batch: planted"


def run_mine(folder: Path, results: Path, text: str) -> Record:
    file = folder / "mine.py"
    file.write_text(text)
    cell = resolve(make_spec(variant="mine", seq_len=16), {"mine": str(file)})
    (record,) = run_one_by_one([cell], Session("session"), Gate(results))
    return record


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        ("PermissionError('no cache')", "error"),
        ("ModuleNotFoundError('No module named x')", "unavailable"),
        ("ValueError('no')", "incorrect"),
    ],
)
def test_a_check_that_failed_for_a_cause_outside_is_no_verdict_and_not_kept(
    raised: str, status: str, tmp_path: Path, results: Path
) -> None:
    record = run_mine(tmp_path, results, TEMPLATE.replace("(v,) =", f"raise {raised}; (v,) =", 1))
    assert record.status == status, record.reason
    assert (record.stage or "").startswith("check") and raised.partition("(")[0] in (record.reason or "")
    assert (results / "checks").exists() == (status == "incorrect")
    cell = resolve(record.spec, {"mine": str(tmp_path / "mine.py")})
    assert (Finished({cell.key: record}, Gate(results), Limits()).record(cell) is None) == (status != "incorrect")


def test_a_report_that_says_such_a_thing_is_looked_at_no_more(results: Path) -> None:
    """One that an older version kept: its cell is due again, and the variant is checked anew."""
    cell, gate = resolve(make_spec(seq_len=32)), Gate(results)
    found = [Finding(name="float32", status="failed", detail="it raises PermissionError: [Errno 13] Permission denied: 'cache'")]
    real = Finding(name="padding", status="failed", detail="rows of the output at padding are not zero")
    file = gate._file(cell.check_request)
    file.parent.mkdir(parents=True)
    report = Report(variant="softmax", fingerprint=cell.check_request.fingerprint(), device="cpu", checks=found)
    file.write_bytes(encode(report))
    assert gate.known(cell.check_request) is None
    record = failed(status="incorrect", stage="check", reason=f"float32: {found[0].detail}")
    assert Finished({cell.key: record}, gate, Limits()).record(cell) is None
    file.write_bytes(encode(dataclasses.replace(report, checks=[*found, real])))
    assert gate.known(cell.check_request) is not None


def test_a_file_that_could_not_be_imported_is_due_again_when_it_can(tmp_path: Path, results: Path) -> None:
    """Its text is the same: the cause was another."""
    text = TEMPLATE.replace("import math\n", "import math\nfrom pathlib import Path\n(Path(__file__).parent / 'there').read_text()\n", 1)
    record = run_mine(tmp_path, results, text)
    assert (record.status, record.stage) == ("error", "not tried") and "FileNotFoundError" in (record.reason or "")
    (tmp_path / "there").write_text("")
    cell = resolve(make_spec(variant="mine", seq_len=16), {"mine": str(tmp_path / "mine.py")})
    assert cell.refused is None and cell.key == (record.id, record.fingerprint)
    assert Finished({cell.key: record}, Gate(results), Limits()).record(cell) is None
