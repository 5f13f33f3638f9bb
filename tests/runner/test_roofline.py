"""A time that looks impossible has the machine measured once more, for its peaks may stem from a busy moment."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from attnbench.runner import roofline
from attnbench.store import environment
from attnbench.store.peaks import Peaks, store_peaks
from helpers.records import make_peaks


def slow(results: Path, rate: float) -> Peaks:
    peaks = make_peaks(threads=environment.physical_cores(), torch=environment.version_of("torch"), flops_per_s={"float32": rate})
    store_peaks(results, environment.machine_name(), peaks)
    return peaks


def test_it_is_measured_again_once_and_the_better_is_kept(new_results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known, said = slow(new_results, 1.0), list[str]()
    again = dataclasses.replace(known, flops_per_s={"float32": 3e10}, measured_at="2100-01-01T00:00:00Z")
    monkeypatch.setattr(
        roofline, "measure_peaks", lambda device, start: again
    )  # tests/acceptance/test_measured_peaks.py does that in earnest
    roof = roofline.Roof(new_results, "forkserver", said.append)
    assert roof.measure_again("cpu") is None  # nobody asked for it yet
    assert roof.of("cpu") == known
    better = roof.measure_again("cpu")
    assert better is not None and better.flops_per_s["float32"] == 3e10
    assert roof.of("cpu") == better == roofline.Roof(new_results, "forkserver").of("cpu")
    assert roof.measure_again("cpu") is None
    assert "once more" in said[0]


def test_a_run_goes_on_without_a_device(new_results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    roof = roofline.Roof(new_results, "forkserver")
    assert roof.of("cuda") is None
    assert roof.measure_again("cuda") is None
