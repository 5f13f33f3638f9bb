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
from attnbench.spec.asv_params import values_of
from attnbench.spec.axes import DEVICES, TRACKS
from attnbench.spec.presets import PRESETS
from attnbench.stats import median_interval
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


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return measured_project(tmp_path_factory.mktemp("asv") / "project")


@pytest.fixture(scope="module")
def records(measured: Project) -> list[Record]:
    """What asv had measured, and what was known before."""
    return list(measured.store.read())


def test_each_cell_is_measured_once_however_many_metrics_read_it(records: list[Record]) -> None:
    ran = [record for record in records if record.started_at > "2021"]
    assert sorted((r.spec.track, r.spec.variant, r.status) for r in ran) == [("depth", "softmax", "ok"), ("kernel", "softmax", "ok")]
    assert len({record.session for record in ran}) == 1


def test_asv_holds_the_samples_of_the_record(measured: Project, records: list[Record]) -> None:
    record = next(r for r in records if (r.spec.track, r.status) == ("kernel", "ok"))
    (row,) = rows(measured, "kernel.Kernel.time_call", "softmax")
    samples = record.measurements["forward_s"]
    assert row.samples == pytest.approx(samples, rel=1e-9)
    assert row.value == pytest.approx(median_interval(samples).value, rel=1e-9)
    assert row.params == values_of(record.spec)
    assert (row.machine, len(row.commit)) == (MACHINE, 40)
    assert row.started_at is not None and row.started_at >= record.session[:4]

    for metric, asked in {"track_flops": "flops", "track_peak_memory": "peak_memory_bytes", "track_anchor_ratio": "anchor_ratio"}.items():
        (row,) = rows(measured, f"kernel.Kernel.{metric}", "softmax")
        assert row.value == median(record.measurements[asked])
    assert len(rows(measured, "depth.Depth.track_anchor_ratio", "softmax")) == 1


def test_failures_reach_asv_as_failures_and_skips_as_skips(measured: Project) -> None:
    """As asv writes them: null and NaN, of which the second is no JSON; our reader takes both for nothing."""
    file = next(f for f in (measured.asv_results / MACHINE).glob("*.json") if f.name != "machine.json")
    with pytest.raises(ValueError, match="NaN"):
        json.loads(file.read_text(), parse_constant=lambda name: pytest.fail(name) if name != "NaN" else float("no NaN in JSON"))
    written = json.loads(file.read_text())["results"]["kernel.Kernel.time_call"]
    places = zip(itertools.product(*written[1]), written[0], strict=True)
    values = {ast.literal_eval(place[0]): value for place, value in places if place[1] == "'forward'" and place[3] == "256"}
    assert values["polynomial"] is None
    assert math.isnan(values["softmax_math"])
    assert [rows(measured, "kernel.Kernel.time_call", variant) for variant in ("polynomial", "softmax_math")] == [[], []]
