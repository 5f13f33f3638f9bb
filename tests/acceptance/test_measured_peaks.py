"""`doctor --peaks` measures this machine: orders of magnitude that hold on any, loaded or not."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from attnbench.analysis.number_format import size
from attnbench.store import environment
from attnbench.store.peaks import SLACK, floor_s, from_json, known_peaks, store_peaks
from helpers.command import cli

pytestmark = [pytest.mark.long, pytest.mark.alone]
MACHINE = "desk"


def test_doctor_measures_stores_and_tells(new_results: Path) -> None:
    done = cli("doctor", "--peaks", "--results", str(new_results), ATTNBENCH_MACHINE=MACHINE)
    assert done.returncode == 0, done.stderr
    assert all(title in done.stdout for title in ("float32", "GFLOP/s", size(2**18), "GiB/s", "drift anchor"))
    peaks = known_peaks(new_results, MACHINE, "cpu", environment.physical_cores())
    assert peaks is not None
    assert [*peaks.flops_per_s] == ["float64", "float32", "bfloat16", "float16"]
    assert 1e9 < peaks.flops_per_s["float32"] < 1e15
    rates = dict(peaks.bandwidth)
    assert rates[2**18] >= 0.5 * rates[max(rates)]
    assert 1e8 < min(rates.values()) <= max(rates.values()) < 1e14
    assert len(peaks.anchor_s) >= 3
    # The anchor's two products of 4 heads x 1,024 x 1,024 x 64, and its q, k, v and out.
    assert min(peaks.anchor_s) > SLACK * floor_s(peaks, "float32", 2 * 2 * 4 * 1024 * 1024 * 64, 4 * 4 * 1024 * 64 * 4)

    facts = json.loads(cli("doctor", "--json", "--results", str(new_results), ATTNBENCH_MACHINE=MACHINE).stdout)
    assert from_json(facts["peaks"]["cpu"]) == peaks
    store_peaks(new_results, MACHINE, dataclasses.replace(peaks, torch="1.0"))
    assert json.loads(cli("doctor", "--json", "--results", str(new_results), ATTNBENCH_MACHINE=MACHINE).stdout)["peaks"] == {}
