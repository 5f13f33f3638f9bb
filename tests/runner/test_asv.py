"""asv over the harness: each cell measured once, the same samples on both sides; failures are failures there too."""

from __future__ import annotations

import ast
import itertools
import json
import math
from pathlib import Path
from statistics import median
from timeit import Timer

import pytest

from attnbench.runner import asv
from attnbench.runner.cell import resolve
from attnbench.runner.here import this_machine
from attnbench.spec.asv_params import values_of
from attnbench.spec.axis_values import DEVICES, TRACKS
from attnbench.spec.presets import PRESETS
from attnbench.store.environment import machine_name
from attnbench.store.record import Record
from attnbench.store.store import Store
from helpers.asv_project import MACHINE, Project, measured_project, rows
from helpers.records import make_record


def test_replayed_samples_reach_timeit_exactly() -> None:
    samples = [0.25, 1.5, 3e-6]
    timer = Timer("pass", timer=asv.ReplayClock(samples))
    assert [timer.timeit(1) for _ in samples] == pytest.approx(samples, rel=1e-9)
    with pytest.raises(asv.CellFailed, match="more than the 3 samples"):
        timer.timeit(1)


@pytest.mark.parametrize(
    "preset", [pytest.param(name, marks=pytest.mark.long) if name == "full" else name for name in PRESETS]
)  # of ten thousand cells
@pytest.mark.parametrize("device", DEVICES)
def test_every_cell_of_a_preset_has_a_place_among_asvs_parameters(monkeypatch: pytest.MonkeyPatch, preset: str, device: str) -> None:
    monkeypatch.setenv("ATTNBENCH_PRESET", preset)
    monkeypatch.setenv("ATTNBENCH_DEVICE", device)
    found = [spec for track in TRACKS for specs in asv.cells_of.__wrapped__(track).values() for spec in specs]
    chosen = [spec for spec in PRESETS[preset].specs(device) if this_machine(device).is_for(spec)]
    assert sorted(spec.key() for spec in found) == sorted(spec.key() for spec in chosen)


@pytest.mark.parametrize("track", ["kernel", "depth", "task"])
def test_the_processes_of_a_cell_share_its_place_and_the_seeds_of_a_training_do_not(monkeypatch: pytest.MonkeyPatch, track: str) -> None:
    monkeypatch.setenv("ATTNBENCH_PRESET", "claims")
    cells = asv.cells_of.__wrapped__(track)
    assert {tuple(spec.seed for spec in specs) for specs in cells.values()} == (
        {(n,) for n in range(8)} if track == "task" else {(0, 1, 2)}
    )


PROCESSES = {0: [1.0, 5.0, 9.0], 1: [2.0, 2.0, 90.0], 2: [3.0]}


def replayed(monkeypatch: pytest.MonkeyPatch, results: Path, statuses: tuple[str, ...]) -> asv.Benchmark:
    """The benchmark of a cell of three processes, of which there are records of such statuses."""
    monkeypatch.setenv("ATTNBENCH_PRESET", "claims")
    for name in ("cells_of", "records_of"):
        monkeypatch.setattr(asv, name, getattr(asv, name).__wrapped__)  # what is cached here is not for other tests
    values, specs = next(iter(asv.cells_of("kernel").items()))
    for spec, status in zip(specs, statuses, strict=True):
        cell = resolve(spec)
        measured = {f"{spec.mode}_s": PROCESSES[spec.seed], "flops": [7.0 + spec.seed], "peak_memory_bytes": [1.0]}
        given = {"fingerprint": cell.fingerprint, "machine": machine_name(), "environment": {}}
        if status != "ok":
            given |= {"reason": "boom", "stage": "verify"}
        Store(results).append(make_record(cell.spec, status=status, measurements=measured if status == "ok" else {}, **given))

    class Replay(asv.Benchmark):
        track = "kernel"

    Replay.results = results
    benchmark = Replay()
    benchmark.setup(*values)
    return benchmark


def test_asv_is_given_one_sample_a_process(monkeypatch: pytest.MonkeyPatch, results: Path) -> None:
    benchmark = replayed(monkeypatch, results, ("ok", "ok", "ok"))
    timer = Timer("pass", timer=benchmark.timer)
    assert [timer.timeit(1) for _ in range(benchmark.repeat)] == pytest.approx([5.0, 2.0, 3.0])
    assert benchmark.value("flops") == 8.0
    assert math.isnan(benchmark.value("state_bytes"))


def test_a_process_that_failed_fails_the_cell_for_asv(monkeypatch: pytest.MonkeyPatch, results: Path) -> None:
    with pytest.raises(asv.CellFailed, match="incorrect at verify: boom"):
        replayed(monkeypatch, results, ("ok", "ok", "incorrect"))


def test_the_finished_records_of_some_sources_are_found_among_others(results: Path) -> None:
    store, first, second = Store(results), make_record(), make_record(fingerprint="e" * 16)
    for record in (first, second):
        store.append(record)
    assert list(store.finished("desk").values()) == [first, second]
    assert list(store.finished("desk", "e" * 16).values()) == [second]
    assert store.finished("desk", "d" * 16) == {}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return measured_project(tmp_path_factory.mktemp("asv") / "project")


@pytest.fixture(scope="module")
def records(measured: Project) -> list[Record]:
    """What asv had measured, and what was known before."""
    return list(measured.store.read())


@pytest.mark.long
def test_each_cell_is_measured_once_however_many_metrics_read_it(records: list[Record]) -> None:
    ran = [record for record in records if record.started_at > "2021"]
    assert sorted((r.spec.track, r.spec.variant, r.status) for r in ran) == [("depth", "softmax", "ok"), ("kernel", "softmax", "ok")]
    assert len({record.session for record in ran}) == 1


@pytest.mark.long
def test_asv_holds_the_medians_of_the_record(measured: Project, records: list[Record]) -> None:
    record = next(r for r in records if (r.spec.track, r.status) == ("kernel", "ok"))
    (row,) = rows(measured, "kernel.Kernel.time_call", "softmax")
    assert row.samples == pytest.approx([median(record.measurements["forward_s"])], rel=1e-9)  # one process
    assert row.value == pytest.approx(row.samples[0], rel=1e-9)
    assert row.params == values_of(record.spec)
    assert (row.machine, len(row.commit)) == (MACHINE, 40)
    assert row.started_at is not None and row.started_at >= record.session[:4]

    for metric, asked in {"track_flops": "flops", "track_peak_memory": "peak_memory_bytes", "track_anchor_ratio": "anchor_ratio"}.items():
        (row,) = rows(measured, f"kernel.Kernel.{metric}", "softmax")
        assert row.value == median(record.measurements[asked])
    assert len(rows(measured, "depth.Depth.track_anchor_ratio", "softmax")) == 1


@pytest.mark.long
def test_failures_reach_asv_as_failures_and_skips_as_skips(measured: Project) -> None:
    """As asv writes them: null and NaN, of which the second is no JSON; our reader takes both for nothing."""
    file = next(f for f in (measured.asv_results / MACHINE).glob("*.json") if f.name != "machine.json")
    with pytest.raises(ValueError, match="NaN"):
        json.loads(file.read_text(), parse_constant=lambda name: pytest.fail(name) if name != "NaN" else float("no NaN in JSON"))
    written = json.loads(file.read_text())["results"]["kernel.Kernel.time_call"]
    places = zip(itertools.product(*written[1]), written[0], strict=True)
    values = {ast.literal_eval(place[0]): value for place, value in places if place[1:4] == ("'forward'", "False", "256")}
    assert values["polynomial"] is None
    assert math.isnan(values["softmax_math"])
    assert [rows(measured, "kernel.Kernel.time_call", variant) for variant in ("polynomial", "softmax_math")] == [[], []]
