"""asv over the harness: each cell measured once, the same samples on both sides, and asv's own commands on what it wrote."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from statistics import median
from timeit import Timer

import pytest
import torch

from attnbench.runner import asv
from attnbench.runner.cell import resolve
from attnbench.spec.asv_params import values_of
from attnbench.spec.axes import DEVICES, TRACKS
from attnbench.spec.presets import PRESETS
from attnbench.stats import median_interval
from attnbench.store.asv_files import AsvRow, read_asv
from attnbench.store.record import Record
from attnbench.store.store import Store
from helpers.asv_project import HERE, MACHINE, Project, make_project
from helpers.factory import make_record, make_spec

KERNEL = r"Kernel\.\w+\('(softmax|softmax_math|polynomial)', 'forward', False, 256,"
DEPTH = r"Depth\.\w+\('softmax', 'residual', 1,"
SAVED = ("--set-commit-hash", "HEAD", "--record-samples")


def test_replayed_samples_reach_timeit_exactly() -> None:
    samples = [0.25, 1.5, 3e-6]
    timer = Timer("pass", timer=asv.ReplayClock(samples))
    assert [timer.timeit(1) for _ in samples] == pytest.approx(samples, rel=1e-9)
    with pytest.raises(asv.CellFailed, match="more than the 3 samples"):
        timer.timeit(1)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("device", DEVICES)
def test_every_cell_of_a_preset_has_a_place_among_asvs_parameters(monkeypatch: pytest.MonkeyPatch, preset: str, device: str) -> None:
    monkeypatch.setenv("ATTNBENCH_PRESET", preset)
    monkeypatch.setenv("ATTNBENCH_DEVICE", device)
    found = [spec for track in TRACKS for spec in asv.cells_of.__wrapped__(track).values()]
    assert sorted(spec.key() for spec in found) == sorted(spec.key() for spec in PRESETS[preset].specs(device))


def test_the_finished_records_of_some_sources_are_found_among_others(results: Path) -> None:
    store, first, second = Store(results), make_record(), make_record(fingerprint="e" * 16)
    for record in (first, second):
        store.append(record)
    assert list(store.finished("desk").values()) == [first, second]
    assert list(store.finished("desk", "e" * 16).values()) == [second]
    assert store.finished("desk", "d" * 16) == {}


def stated(variant: str, **fields: object) -> Record:
    """A record of a cell at 256 as if an earlier session had measured it."""
    cell = resolve(make_spec(variant=variant, seq_len=256))
    given = {"fingerprint": cell.fingerprint, "machine": MACHINE, "measurements": {}, "started_at": "2020-01-01T00:00:00Z", **fields}
    return make_record(cell.spec, **given)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """asv's run of two cells, of one that ran out of memory before, and of one that is skipped; softmax was unavailable before."""
    project = make_project(tmp_path_factory.mktemp("asv") / "project")
    project.store.append(stated("softmax", status="unavailable", stage="build", reason="it was not here"))
    project.store.append(stated("polynomial", status="oom", stage="time", reason="too large", environment={"memory_share": 0.75}))
    project.store.append(stated("softmax_math", status="skipped", stage="build", reason="there is no such form"))
    project.run(f"{KERNEL}|{DEPTH}", *SAVED, code=2)
    return project


@dataclasses.dataclass(frozen=True)
class Runs:
    """Two commits of a project, measured: at the second softmax takes 1,000 times as long, and a step of depth 1 now half, now twice."""

    project: Project
    first: list[Record]
    kernel: Record
    depth: Record


@pytest.fixture(scope="module")
def compared(measured: Project) -> Runs:
    first = list(measured.store.read())
    kernel, depth = (next(r for r in first if r.spec.track == track and r.status == "ok") for track in ("kernel", "depth"))
    step = median(depth.measurements["training_s"])
    for record, samples in ((kernel, [1000 * s for s in kernel.measurements["forward_s"]]), (depth, [0.5 * step] * 10 + [2 * step] * 12)):
        later = {"session": "20991231T000000Z-abcdef", "started_at": "2099-12-31T00:00:00Z"}
        measurements = {**record.measurements, f"{record.spec.mode}_s": samples}
        measured.store.append(dataclasses.replace(record, measurements=measurements, **later))
    measured.commit()
    measured.run(f"{KERNEL}|{DEPTH}", *SAVED, code=2)
    return Runs(measured, first, kernel, depth)


def rows(project: Project, benchmark: str, variant: str) -> list[AsvRow]:
    """A benchmark's rows that hold something, in the order of commits."""
    found = [row for row in read_asv(project.asv_results) if row.benchmark == benchmark and row.params[0] == variant]
    return sorted((row for row in found if row.value is not None), key=lambda row: str(row.started_at))


def test_each_cell_is_measured_once_however_many_metrics_read_it(compared: Runs) -> None:
    ran = [(r.spec.track, r.spec.variant, r.status) for r in compared.first if r.started_at > "2021"]
    assert sorted(ran) == [("depth", "softmax", "ok"), ("kernel", "softmax", "ok")]
    assert len({r.session for r in compared.first if r.started_at > "2021"}) == 1
    assert len(list(compared.project.store.read())) == len(compared.first) + 2  # nothing was measured for the second commit


def test_asv_holds_the_samples_of_the_record(compared: Runs) -> None:
    row, _ = rows(compared.project, "kernel.Kernel.time_call", "softmax")
    samples = compared.kernel.measurements["forward_s"]
    assert row.samples == pytest.approx(samples, rel=1e-9)
    assert row.value == pytest.approx(median_interval(samples).value, rel=1e-9)
    assert row.params == values_of(compared.kernel.spec)
    assert (row.machine, len(row.commit)) == (MACHINE, 40)
    assert row.started_at is not None and row.started_at >= compared.kernel.session[:4]

    for metric, asked in {"track_flops": "flops", "track_peak_memory": "peak_memory_bytes", "track_anchor_ratio": "anchor_ratio"}.items():
        row, _ = rows(compared.project, f"kernel.Kernel.{metric}", "softmax")
        assert row.value == median(compared.kernel.measurements[asked])
    assert len(rows(compared.project, "depth.Depth.track_anchor_ratio", "softmax")) == 2


def test_failures_reach_asv_as_failures_and_skips_as_skips(compared: Runs) -> None:
    """As asv writes them: null and NaN, of which the second is no JSON; our reader takes both for nothing."""
    file = next(f for f in (compared.project.asv_results / MACHINE).glob("*.json") if f.name != "machine.json")
    with pytest.raises(ValueError, match="NaN"):
        json.loads(file.read_text(), parse_constant=lambda name: pytest.fail(name) if name != "NaN" else float("no NaN in JSON"))
    written = json.loads(file.read_text())["results"]["kernel.Kernel.time_call"]
    variants = [name.strip("'") for name in written[1][0]]
    values = {variant: written[0][variants.index(variant) * len(written[0]) // len(variants)] for variant in variants}
    assert values["polynomial"] is None
    assert math.isnan(values["softmax_math"])
    assert [rows(compared.project, "kernel.Kernel.time_call", variant) for variant in ("polynomial", "softmax_math")] == [[], []]


def test_compare_tells_a_change_from_noise(compared: Runs) -> None:
    shown = compared.project.asv("compare", "HEAD~1", "HEAD", "--machine", MACHINE).splitlines()
    cells = [[text.strip() for text in line.strip("|").split("|")] for line in shown if "('softmax'" in line and "n/a" not in line]
    verdicts = {name.partition("(")[0]: (mark, ratio) for mark, _, _, ratio, name in cells}
    assert verdicts["kernel.Kernel.time_call"] == ("+", "1000.00")
    assert verdicts["depth.Depth.time_step"] == ("", "~2.00")
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
