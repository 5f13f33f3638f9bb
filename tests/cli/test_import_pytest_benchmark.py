"""The pytest-benchmark face: kernels timed and verified, and its JSON made records that never count as measured."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attnbench.runner.cell import resolve
from attnbench.spec.axes import Spec
from attnbench.store import environment
from attnbench.store.facts import ALONE
from attnbench.store.record import PYTEST_BENCHMARK
from attnbench.store.store import Store
from helpers.command import LONGEST_S, cli_here
from helpers.paths import REPO
from helpers.records import make_record

WRONG = '''"""Half of the values, though its matrix says all of them."""
import torch
from torch import nn
from attnbench.attention import Variant


class Half(nn.Module):
    def forward(self, q, k, v, causal=False, padding_mask=None):
        return v / 2

    def matrix(self, q, k, causal=False):
        return torch.eye(q.shape[-2], dtype=q.dtype).expand(*q.shape[:2], -1, -1)


VARIANT = Variant(build=lambda shape: Half(), citation="none", family="other", formula="V", causal=False, normalises_rows=True,
                  time_exponent=1.0, memory_exponent=1.0)
'''
ABSENT = WRONG.replace("VARIANT = Variant(", 'VARIANT = Variant(needs=("no_such_package",), ')


def benchmarks(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "benchmarks", "-p", "no:cacheprovider", *arguments]
    here = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}  # a worker of it times nothing
    given = {**here, **variables}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPO, env=given, timeout=LONGEST_S)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The JSON and the output of a real run: one mechanism of ours and two that an installed package brings."""
    folder = tmp_path_factory.mktemp("package")
    entry_points = folder / "broken-1.0.dist-info" / "entry_points.txt"
    entry_points.parent.mkdir()
    entry_points.write_text("[attnbench.variants]\nhalf_wrong = half_wrong\nhalf_absent = half_absent\n")
    (entry_points.parent / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (folder / "half_wrong.py").write_text(WRONG)
    (folder / "half_absent.py").write_text(ABSENT)
    file = folder / "times.json"
    chosen = "([softmax- or [half_) and forward-256"
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    done = benchmarks("--benchmark-only", "-k", chosen, f"--benchmark-json={file}", PYTHONPATH=path, ATTNBENCH_MACHINE="test-machine")
    return file, done.stdout


def load(ran: tuple[Path, str]) -> Any:
    return json.loads(ran[0].read_text())


def import_(file: Path, results: Path) -> subprocess.CompletedProcess[str]:
    return cli_here("import-pytest-benchmark", str(file), "--results", str(results))


def test_a_right_mechanism_is_timed_a_wrong_one_fails_and_an_absent_one_is_skipped(ran: tuple[Path, str]) -> None:
    assert "1 failed, 1 passed, 1 skipped" in ran[1]
    assert "Incorrect: the error against the float64 reference is 5.0e-01" in ran[1]
    assert "half_absent needs no_such_package" in ran[1]


def test_its_json_becomes_a_record_of_the_same_cell_once(ran: tuple[Path, str], results: Path) -> None:
    done = import_(ran[0], results)
    assert (done.returncode, done.stderr) == (0, "")
    assert "skipped test_kernel[half_wrong-forward-256]: it is not attnbench's own, or its results were wrong" in done.stdout
    assert "records imported: 1, there already: 0; benchmarks skipped: 1." in done.stdout

    (record,) = Store(results).read()
    cell = resolve(Spec(track="kernel", variant="softmax", mode="forward", seq_len=256))
    assert (record.id, record.fingerprint, record.spec) == (*cell.key, cell.spec)
    samples = next(b for b in load(ran)["benchmarks"] if "softmax" in b["name"])["stats"]["data"]
    assert (record.status, record.measurements, record.clocks) == ("ok", {"forward_s": samples}, {"forward_s": "wall"})
    assert (record.machine, record.origin.by) == ("test-machine", PYTEST_BENCHMARK)
    assert record.environment["threads"] == environment.physical_cores()
    assert record.environment["timing"] == ALONE  # a setting of its own: neither among the harness's times nor history

    again = import_(ran[0], results)
    assert again.returncode == 0
    assert "records imported: 0, there already: 1" in again.stdout
    assert list(Store(results).read()) == [record]


@pytest.mark.long
def test_its_command_times_the_same_cell(ran: tuple[Path, str], results: Path) -> None:
    import_(ran[0], results)
    (record,) = Store(results).read()
    program, folder, *arguments = shlex.split(record.command)
    assert (program, folder) == ("pytest", "benchmarks")
    listed = benchmarks(*arguments, "--collect-only", "-q").stdout
    assert [line for line in listed.splitlines() if "::" in line] == ["benchmarks/test_kernels.py::test_kernel[softmax-forward-256]"]


@pytest.mark.long
def test_without_timing_it_still_verifies() -> None:
    done = benchmarks("--benchmark-disable", "-k", "[orthogonal-training-256]")
    assert done.returncode == 0 and "1 passed" in done.stdout


def test_no_host_and_no_path_come_along(ran: tuple[Path, str], results: Path) -> None:
    import_(ran[0], results)
    (line,) = next(results.rglob("*.jsonl")).read_text().splitlines()
    host = rf"\b{re.escape(load(ran)['machine_info']['node'])}\b"
    assert not re.search(host, line)
    assert str(REPO) not in line and str(Path.home()) not in line


def test_an_imported_record_is_not_finished(ran: tuple[Path, str], results: Path) -> None:
    import_(ran[0], results)
    measured = make_record(machine="test-machine", started_at="2020-01-01T00:00:00Z")
    Store(results).append(measured)
    assert list(Store(results).finished("test-machine").values()) == [measured]
    planned = cli_here(
        "run", "--variant", "softmax", "--track", "kernel", "--results", str(results), "--dry-run", ATTNBENCH_MACHINE="test-machine"
    )
    assert "12 cells to run, " in planned.stdout and "; 0 finished already" in planned.stdout


def spoil(change: Callable[[Any], None]) -> Callable[[Any], Any]:
    def changed(document: Any) -> Any:
        benchmark = next(b for b in document["benchmarks"] if "softmax" in b["name"])
        change(benchmark)
        return {**document, "benchmarks": [benchmark]}

    return changed


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (spoil(lambda b: b["extra_info"].clear()), "it is not attnbench's own"),
        (spoil(lambda b: b["extra_info"]["attnbench"].pop("fingerprint")), "missing required field `fingerprint`"),
        (spoil(lambda b: b["extra_info"]["attnbench"]["spec"].update(mode="sideways")), "unknown mode 'sideways'"),
        (spoil(lambda b: b["extra_info"]["attnbench"].update(machine="../up")), "its machine is '../up'"),
        (spoil(lambda b: b["options"].update(timer="process_time")), "its timer is 'process_time'"),
        (spoil(lambda b: b["stats"].pop("data")), "the file holds no samples; write it by --benchmark-json"),
        (spoil(lambda b: b["stats"].update(data=[0.5, float("nan")])), "Expected `float`, got `null`"),
        (spoil(lambda b: b["stats"].update(data=[0.5, -1.0])), "times must be positive and finite"),
        (spoil(lambda b: b["stats"].update(data=[])), "times must be positive and finite"),
        (spoil(lambda b: b["stats"].update(data=[1e200])), "no record can hold it"),
        (spoil(lambda b: b["extra_info"]["attnbench"].update(machine="con")), "its machine is 'con'; Windows keeps it for a device"),
        (spoil(lambda b: b["extra_info"]["attnbench"]["environment"].update(torch=["2"])), "no record can hold it: its environment"),
        (spoil(lambda b: b["extra_info"]["attnbench"].update(started_at="now")), "no record can hold it: started_at is 'now'"),
        (spoil(lambda b: b["extra_info"]["attnbench"]["spec"].update(seq_len=2**63)), "seq_len is 9223372036854775808"),
        (spoil(lambda b: b["extra_info"]["attnbench"].update({"\udfff": 1})), "surrogates not allowed"),
    ],
)
def test_a_benchmark_that_makes_no_record_says_why(ran: tuple[Path, str], new_results: Path, change: Any, why: str) -> None:
    file = new_results.with_suffix(".json")
    file.write_text(json.dumps(change(load(ran))))
    done = import_(file, new_results)
    assert why in done.stdout
    assert (done.returncode, done.stderr.split(";")[0]) == (2, f"error: none of the 1 benchmarks in {file} makes a record")
    assert not new_results.exists()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        (b"\xff\xfe{", "is not what pytest-benchmark writes"),
        (b"{", "is not what pytest-benchmark writes"),
        (b"[" * 100_000, "is not what pytest-benchmark writes"),
        (b"[]", "is not what pytest-benchmark writes (Expected `object`, got `array`)"),
        (b'{"benchmarks": []}', "missing required field `datetime`"),
        (b'{"datetime": "2026-11-22T00:00:00+00:00", "benchmarks": [3]}', "Expected `object`, got `int`"),
    ],
)
def test_other_files_are_refused(new_results: Path, content: bytes | None, why: str) -> None:
    file = new_results.with_suffix(".json")
    if content is not None:
        file.write_bytes(content)
    done = import_(file, new_results)
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr
    assert not new_results.exists()
