"""A sample of the damaged records of tests/acceptance/test_damaged_records.py, other ones than there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from attnbench.store.store import Store
from helpers.command import cli, cli_here
from helpers.damage import SEED, DamagedStores
from helpers.damage_commands import MACHINE, assert_survives
from helpers.records import know_machine

CELL = '{"track":"kernel","variant":"softmax","seq_len":16,"mode":"forward"}'


def test_every_command_survives_a_sample_and_shows_what_is_sound(tmp_path: Path) -> None:
    store = tmp_path / "results"
    lines = DamagedStores(SEED - 1).make(store, 300, 60)
    assert_survives(store, lines, tmp_path / "out")


@pytest.mark.long
def test_a_cell_is_measured_beside_damaged_records_reports_and_peaks(tmp_path: Path) -> None:
    store = tmp_path / "results"
    DamagedStores(SEED - 2).make(store, 100, 20)
    know_machine(store, MACHINE)
    before = len(list(Store(store).read([])))
    done = cli_here("run", "--cell", CELL, "--results", str(store), ATTNBENCH_MACHINE=MACHINE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(Store(store).read([]))) == before + 1


@pytest.mark.long
def test_a_process_of_its_own_says_no_more_than_what_it_skips(tmp_path: Path) -> None:
    store = tmp_path / "results"
    DamagedStores(SEED - 3).make(store, 100, 20)
    done = cli("show", "--results", str(store))
    assert done.returncode == 0
    named = [line for line in done.stderr.splitlines() if str(store) in line]
    assert named and all(line.startswith("skipped an unreadable line: ") for line in named)
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr
    told = json.loads(cli("validate", str(store), "--json").stdout)
    assert told["errors"] > 0 and told["records"] > 0
