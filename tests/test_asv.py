"""asv over the harness: each cell measured once, the same samples on both sides, and asv's own commands on what it wrote."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from timeit import Timer

import pytest

from attnbench.face import ReplayClock
from attnbench.stats import median_interval
from attnbench.store import Store
from conftest import REPO

BENCH = r"kernel.Kernel.\w+\('(softmax|orthogonal)', 'forward', False, 256, .*\)"
Asv = Callable[..., subprocess.CompletedProcess[str]]


def test_replayed_samples_reach_timeit_exactly() -> None:
    samples = [0.25, 1.5, 3e-6]
    timer = Timer("pass", timer=ReplayClock(samples))
    assert [timer.timeit(1) for _ in samples] == pytest.approx(samples, rel=1e-9)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """asv.conf.json and benchmarks/ alone, in a git repository of their own: the store lies beside them."""
    folder = tmp_path / "project"
    shutil.copytree(REPO / "benchmarks", folder / "benchmarks", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPO / "asv.conf.json", folder)
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "one"]):
        git(folder, *command)
    return folder


@pytest.fixture
def asv(project: Path, tmp_path: Path) -> Asv:
    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "HOME": str(tmp_path), "ATTNBENCH_MACHINE": "test-machine", "ATTNBENCH_PRESET": "quick"}
        command = [sys.executable, "-m", "asv", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=project, env=environment, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    call("machine", "--yes", "--machine", "test-machine")
    return call


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def run(asv: Asv) -> str:
    return asv(
        "run", "-E", f"existing:{sys.executable}", "--set-commit-hash", "HEAD", "--machine", "test-machine", "--record-samples",
        "--bench", BENCH,
    ).stdout  # fmt: skip


@pytest.mark.slow
def test_asv_and_the_store_hold_the_same_cells_measured_once(asv: Asv, project: Path) -> None:
    run(asv)
    records = {record.spec.variant: record for record in Store(project / "results").read()}
    assert len(list(Store(project / "results").read())) == 2
    assert records.keys() == {"softmax", "orthogonal"}
    assert len({record.session for record in records.values()}) == 1

    (written,) = [p for p in (project / "results" / "asv" / "test-machine").glob("*.json") if p.name != "machine.json"]
    shown = json.loads(written.read_text())
    columns = shown["result_columns"]
    entry = dict(zip(columns, shown["results"]["kernel.Kernel.time_call"], strict=False))
    values = [v for v in entry["result"] if v is not None and v == v]
    medians = [median_interval(records[name].measurements["forward_s"]).value for name in ("softmax", "orthogonal")]
    assert values == pytest.approx(medians, rel=1e-9)
    samples = [s for s in entry["samples"] if s is not None]
    assert samples[0] == pytest.approx(records["softmax"].measurements["forward_s"], rel=1e-9)

    run(asv)
    assert len(list(Store(project / "results").read())) == 2

    git(project, "commit", "--allow-empty", "-qm", "two")
    run(asv)
    compared = asv("compare", "HEAD~1", "HEAD", "--machine", "test-machine").stdout
    assert "kernel.Kernel.time_call('softmax', 'forward', False, 256, 'cpu, float32, batch 1, 4 heads of 64')" in compared
    asv("publish")
    assert (project / "site" / "dist" / "asv" / "index.html").is_file()


@pytest.mark.slow
def test_asv_checks_the_benchmarks(asv: Asv) -> None:
    asv("check", "-E", f"existing:{sys.executable}")
