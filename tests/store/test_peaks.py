"""The roofline by hand, and what is kept of it; tests/acceptance/test_measured_peaks.py measures."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from attnbench.errors import AttnbenchError, BadInput
from attnbench.measurement.peaks import working_sets
from attnbench.runner import roofline
from attnbench.store import environment
from attnbench.store.peaks import (
    ANCHOR_SHAPES,
    bandwidth_at,
    best_of,
    floor_s,
    from_json,
    known_peaks,
    roofline_fraction,
    store_peaks,
    stored_peaks,
)
from helpers.command import cli, cli_here
from helpers.records import make_peaks

MACHINE, THREADS = "desk", 3


@pytest.mark.parametrize(
    ("working_set", "rate"),
    [(0, 100e9), (2**10, 100e9), (2**19, 100e9), (2**20, 100e9), (2**21, 60e9), (2**22, 20e9), (2**40, 20e9)],
)
def test_bandwidth_is_linear_in_the_logarithm_and_never_rises_with_the_working_set(working_set: int, rate: float) -> None:
    """The smallest set was measured at 40, a larger one at 100: so the smallest can do 100 at least."""
    assert bandwidth_at(make_peaks(), working_set) == pytest.approx(rate)


def test_one_working_set_is_enough() -> None:
    peaks = make_peaks(bandwidth=((2**18, 7e9),))
    assert [bandwidth_at(peaks, size) for size in (1, 2**18, 2**30)] == [7e9] * 3


@pytest.mark.parametrize(
    ("flops", "moved", "seconds"),
    [(8e11, 0, 2.0), (0, 2**22, 2**22 / 20e9), (8e11, 2**22, 2.0), (4e7, 2**22, 2**22 / 20e9), (0, 2**21, 2**21 / 60e9), (0, 0, 0)],
)
def test_the_floor_is_the_dtypes_products_or_the_memory(flops: float, moved: float, seconds: float) -> None:
    assert floor_s(make_peaks(), "bfloat16", flops, moved) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("dtype", "flops", "moved", "fraction"),
    [("float32", 1e11, 0, 0.25), ("bfloat16", 1e11, 0, 0.0625), ("float32", 0, 20e9, 0.25), ("float32", 1e11, 40e9, 0.5)],
)
def test_the_fraction_is_of_the_roof_that_binds_in_the_cells_dtype(dtype: str, flops: float, moved: float, fraction: float) -> None:
    assert roofline_fraction(make_peaks(), dtype, flops, moved, seconds=4.0) == pytest.approx(fraction)


def test_no_fraction_of_a_peak_that_was_not_measured() -> None:
    assert roofline_fraction(make_peaks(), "float16", 1e11, 0, seconds=4.0) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"flops_per_s": {}},
        {"flops_per_s": {"float32": 0.0}},
        {"flops_per_s": {"float32": float("nan")}},
        {"bandwidth": ()},
        {"bandwidth": ((2**20, 1e9), (2**18, 1e9))},
        {"bandwidth": ((2**18, float("inf")),)},
        {"anchor_s": (-1.0,)},
        {"device": "tpu"},
    ],
)
def test_peaks_that_would_spoil_a_floor_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="peaks"):
        make_peaks(**fields)


def test_what_is_stored_is_found_again(new_results: Path) -> None:
    assert known_peaks(new_results, MACHINE, "cpu", THREADS) is None
    cpu, cuda = make_peaks(), make_peaks(device="cuda", flops_per_s={"tensorfloat32": 4e14}, anchor_shape=ANCHOR_SHAPES["cuda"])
    store_peaks(new_results, MACHINE, make_peaks(flops_per_s={"float32": 1.0}))
    store_peaks(new_results, MACHINE, cuda)
    store_peaks(new_results, MACHINE, cpu)
    assert known_peaks(new_results, MACHINE, "cpu", THREADS) == cpu
    assert known_peaks(new_results, MACHINE, "cuda", THREADS) == cuda
    (file,) = (new_results / "machines").iterdir()
    document = json.loads(file.read_text())
    assert (file.name, document["schema"], document["machine"], [*document["peaks"]]) == ("desk.json", 1, "desk", ["cpu", "cuda"])


def test_peaks_hold_for_the_threads_the_torch_and_the_machine_they_were_measured_with(new_results: Path) -> None:
    store_peaks(new_results, MACHINE, make_peaks())
    assert known_peaks(new_results, MACHINE, "cpu", THREADS + 1) is None
    assert known_peaks(new_results, MACHINE, "cuda", THREADS) is None
    assert known_peaks(new_results, "another", "cpu", THREADS) is None
    store_peaks(new_results, MACHINE, make_peaks(torch="1.0"))
    assert known_peaks(new_results, MACHINE, "cpu", THREADS) is None
    assert stored_peaks(new_results, MACHINE)["cpu"].torch == "1.0"


def test_peaks_that_were_measured_with_another_drift_anchor_are_measured_again(new_results: Path) -> None:
    """Or a session would be held against the seconds of another call. Those of before it was stored had the CPU's."""
    cpu, cuda = make_peaks().as_json(), make_peaks(device="cuda").as_json()
    for old in (cpu, cuda):
        del old["anchor_shape"]
        store_peaks(new_results, MACHINE, from_json(old))
    assert known_peaks(new_results, MACHINE, "cpu", THREADS) == make_peaks()
    assert known_peaks(new_results, MACHINE, "cuda", THREADS) is None
    assert stored_peaks(new_results, MACHINE)["cuda"] == make_peaks(device="cuda")


def test_a_torn_file_is_as_none_wherever_it_is_torn(new_results: Path) -> None:
    store_peaks(new_results, MACHINE, make_peaks())
    (file,) = (new_results / "machines").iterdir()
    whole = file.read_bytes()
    for length in range(len(whole.rstrip())):
        file.write_bytes(whole[:length])
        assert stored_peaks(new_results, MACHINE) == {}
    store_peaks(new_results, MACHINE, make_peaks())
    assert file.read_bytes() == whole


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: [],
        lambda document: {**document, "schema": 2},
        lambda document: {**document, "peaks": []},
        lambda document: {**document, "peaks": {"cpu": 7}},
        lambda document: {**document, "peaks": {"cuda": document["peaks"]["cpu"]}},
        lambda document: {**document, "peaks": {"cpu": {**document["peaks"]["cpu"], "bandwidth": [[1024, "fast"]]}}},
        lambda document: {**document, "peaks": {"cpu": {**document["peaks"]["cpu"], "flops_per_s": [1e9]}}},
        lambda document: {**document, "peaks": {"cpu": {k: v for k, v in document["peaks"]["cpu"].items() if k != "threads"}}},
        lambda document: {**document, "peaks": {"cpu": {**document["peaks"]["cpu"], "half of a pair \udfff": 1}}},
        lambda document: {**document, "peaks": {"cpu": {**document["peaks"]["cpu"], "device_name": "half of a pair \udfff"}}},
    ],
)
def test_a_foreign_file_is_as_none(spoil: Callable[[Any], Any], new_results: Path) -> None:
    store_peaks(new_results, MACHINE, make_peaks())
    (file,) = (new_results / "machines").iterdir()
    file.write_text(json.dumps(spoil(json.loads(file.read_text()))))
    assert stored_peaks(new_results, MACHINE) == {}


def test_peaks_that_cannot_be_stored_are_an_error_of_ours(new_results: Path) -> None:
    new_results.write_text("a file where the folder should be")
    with pytest.raises(AttnbenchError, match=r"cannot be stored in .*desk\.json.*--results"):
        store_peaks(new_results, MACHINE, make_peaks())


@pytest.mark.alone
def test_a_busy_machine_is_told_of() -> None:
    """As many processes that do nothing but compute as there are processors."""
    spin = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        warning = roofline.busy()
    finally:
        for process in spin:
            process.kill()
            process.wait()
    assert warning is not None and "too low; measure again when this machine is idle" in warning


def test_known_peaks_are_not_measured_again(new_results: Path) -> None:
    peaks = make_peaks(threads=environment.physical_cores())
    store_peaks(new_results, environment.machine_name(), peaks)
    said: list[str] = []
    assert roofline.peaks_of_this_machine(new_results, "cpu", "forkserver", said.append) == peaks
    assert said == []


@pytest.mark.parametrize(("memory", "last"), [(2**30, 2**28), (2**34, 2**30), (2**40, 2**30), (2**18, 2**18)])
def test_working_sets_end_at_a_quarter_of_the_memory(memory: int, last: int) -> None:
    sizes = working_sets(memory)
    assert (sizes[0], sizes[-1]) == (2**18, last)
    assert all(larger == 4 * smaller for smaller, larger in pairwise(sizes))


def test_peaks_that_cannot_be_stored_serve_all_the_same(new_results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new_results.write_text("a file where the folder should be")
    measured, said = make_peaks(threads=environment.physical_cores()), list[str]()
    monkeypatch.setattr(roofline, "measure_peaks", lambda device, start: measured)  # which test_measured_peaks.py does in earnest
    assert roofline.peaks_of_this_machine(new_results, "cpu", "forkserver", said.append) is measured
    assert "what this machine's cpu can do at most: about 15 s" in said[0]
    assert "cannot be stored" in said[-1]


def test_a_measurement_that_does_not_end_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "TIMEOUT_S", 0.01)
    with pytest.raises(AttnbenchError, match=r"could not be measured: timeout at .*try attnbench doctor --peaks"):
        roofline.measure_peaks("cpu", "forkserver")


def test_a_device_that_is_not_here_has_no_peaks(new_results: Path) -> None:
    done = cli("doctor", "--peaks", "--device", "cuda", "--results", str(new_results), CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1
    assert "no CUDA device here; use --device cpu" in done.stderr
    assert not new_results.exists()


def test_an_unknown_device_is_bad_input(new_results: Path) -> None:
    done = cli_here("doctor", "--device", "cdua", "--results", str(new_results))
    assert done.returncode == 2
    assert "did you mean 'cuda'" in done.stderr


def test_the_best_of_two_measurements_figure_by_figure() -> None:
    old = make_peaks(flops_per_s={"float32": 2.0, "float64": 5.0}, bandwidth=((10, 1.0), (20, 9.0)), measured_at="2026-11-21T00:00:00Z")
    new = make_peaks(flops_per_s={"float32": 3.0, "float16": 1.0}, bandwidth=((10, 2.0), (20, 8.0)), measured_at="2026-11-22T00:00:00Z")
    for best in (best_of(old, new), best_of(new, old)):
        assert best.flops_per_s == {"float32": 3.0, "float64": 5.0, "float16": 1.0}
        assert best.bandwidth == ((10, 2.0), (20, 9.0))
        assert best.measured_at == new.measured_at


def test_a_damaged_device_loses_no_other(new_results: Path) -> None:
    store_peaks(new_results, MACHINE, make_peaks())
    (file,) = (new_results / "machines").iterdir()
    document = json.loads(file.read_text())
    for damage in ({"device_name": "half of a pair \udfff"}, {"threads": math.nan}, {"threads": 10**400}, {"\udfff": 1}):
        document["peaks"]["cuda"] = {**make_peaks(device="cuda").as_json(), **damage}
        file.write_text(json.dumps(document))
        assert stored_peaks(new_results, MACHINE) == {"cpu": make_peaks()}
