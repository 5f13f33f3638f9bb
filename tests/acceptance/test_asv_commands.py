"""asv's own commands on what it wrote over the harness: compare, publish, check, quick; nothing is measured a second time."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from attnbench.store.record import Record
from helpers.asv_project import DEPTH, HERE, KERNEL, MACHINE, SAVED, Project, measured_project, rows

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return measured_project(tmp_path_factory.mktemp("asv") / "project")


@dataclasses.dataclass(frozen=True)
class Runs:
    """Two commits of a project, measured: at the second softmax takes 1,000 times as long, and a step of depth 1 a twentieth longer."""

    project: Project
    first: list[Record]
    kernel: Record
    depth: Record


@pytest.fixture(scope="module")
def compared(measured: Project) -> Runs:
    first = list(measured.store.read())
    kernel, depth = (next(r for r in first if r.spec.track == track and r.status == "ok") for track in ("kernel", "depth"))
    for record, factor in ((kernel, 1000), (depth, 1.05)):
        calm = {name: of for name, of in record.environment.items() if name not in ("other_load", "steal")}  # else it would be due again
        later = {"session": "20991231T000000Z-abcdef", "started_at": "2099-12-31T00:00:00Z", "environment": calm}
        name = f"{record.spec.mode}_s"
        measurements = {**record.measurements, name: [factor * sample for sample in record.measurements[name]]}
        measured.store.append(dataclasses.replace(record, measurements=measurements, **later))
    measured.commit()
    measured.run(f"{KERNEL}|{DEPTH}", *SAVED, code=2)
    return Runs(measured, first, kernel, depth)


def test_nothing_is_measured_for_a_second_commit(compared: Runs) -> None:
    assert len(list(compared.project.store.read())) == len(compared.first) + 2
    assert len(rows(compared.project, "kernel.Kernel.time_call", "softmax")) == 2


def test_compare_tells_a_change_from_a_difference_of_processes(compared: Runs) -> None:
    shown = compared.project.asv("compare", "HEAD~1", "HEAD", "--machine", MACHINE).splitlines()
    cells = [[text.strip() for text in line.strip("|").split("|")] for line in shown if "('softmax'" in line and "n/a" not in line]
    verdicts = {name.partition("(")[0]: (mark, ratio) for mark, _, _, ratio, name in cells}
    assert verdicts["kernel.Kernel.time_call"] == ("+", "1000.00")
    assert verdicts["depth.Depth.time_step"] == ("", "1.05")
    assert verdicts["kernel.Kernel.track_flops"] == ("", "1.00")


def test_publish_builds_asvs_own_site(compared: Runs) -> None:
    compared.project.asv("publish")
    pages = compared.project.folder / "site" / "dist" / "asv"
    assert (pages / "index.html").is_file()
    assert "kernel.Kernel.time_call" in (pages / "index.json").read_text()


def test_quick_shows_and_stores_nothing(compared: Runs) -> None:
    before = {file: file.read_bytes() for file in compared.project.folder.rglob("results/**/*.json*") if file.name != "benchmarks.json"}
    shown = compared.project.run(DEPTH, "--quick")
    assert "depth.Depth.time_step" in shown and "failed" not in shown
    assert {file: file.read_bytes() for file in before} == before


def test_asv_checks_the_benchmarks(measured: Project) -> None:
    measured.asv("check", *HERE, ATTNBENCH_PRESET="standard")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_what_is_not_here_is_found_out_once_in_a_run(measured: Project) -> None:
    """Another run looks again: it may be here by then."""
    for runs in (1, 2):
        measured.run(r"Kernel\.track_(flops|peak_memory)\('softmax', 'forward', False, 256,", ATTNBENCH_DEVICE="cuda")
        found = [r for r in measured.store.read() if r.spec.device == "cuda"]
        assert [(r.status, r.spec.seq_len) for r in found] == [("unavailable", 256)] * runs
