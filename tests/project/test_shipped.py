"""The records that the repository ships: whole, small, from clean commits, of known statuses, and what the README's table says of them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from statistics import fmean
from typing import get_args

import pytest

from attnbench.analysis.settings import newest_of_cells
from attnbench.store.record import Record, Status
from attnbench.store.store import Store
from attnbench.store.validate import validate
from helpers.paths import REPO

RESULTS = REPO / "results"
MACHINE = "cloud-2core"
SEEDS = 3
SHALLOW, DEEP = "0.001 0.003", "0.00025 0.0005"  # the rates that were tried
METRICS = ("accuracy", "bits_per_byte")
KNOWING_NOTHING = ("majority_share", "unigram_bits")

Means = dict[tuple[str, str], float]  # of a task and a mechanism


@pytest.fixture(scope="module")
def shipped() -> list[Record]:
    newest = newest_of_cells(Store(RESULTS).read(), lambda record: f"{record.spec.variant} {dict(record.spec.params)}")
    records = [record for record in newest if record.machine == MACHINE]
    assert records
    return records


def means_of(records: list[Record], block: str, num_layers: int, lr_grid: str) -> Means:
    """The mean over the seeds of what each mechanism reached on the test part of each task, and of what one reaches that knows nothing."""
    found: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    for record in records:
        spec, measured = record.spec, record.measurements
        if (spec.block, spec.num_layers, spec.lr_grid, record.status) == (block, num_layers, lr_grid, "ok"):
            for column, metrics in ((spec.variant, METRICS), ("knowing nothing", KNOWING_NOTHING)):
                (metric,) = measured.keys() & set(metrics)
                found[str(spec.task), column][spec.seed] = measured[metric][0]
    assert found
    assert {tuple(sorted(seeds)) for seeds in found.values()} == {tuple(range(SEEDS))}
    return {key: fmean(seeds.values()) for key, seeds in found.items()}


def readme_table() -> tuple[list[str], list[tuple[str, list[str]]]]:
    """The columns of the table of what was learnt, and its rows, each with what it is of."""
    lines = (REPO / "README.md").read_text().splitlines()
    (start,) = (number for number, line in enumerate(lines) if line.startswith("| | softmax |"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.split("|")[1:-1]])
    (_, *columns), _, *body = rows
    assert body
    return columns, [(what, cells) for what, *cells in body]


def test_the_folder_is_valid_and_under_20_mb() -> None:
    seen = Counter[str]()
    assert [str(fault) for fault in validate(RESULTS, seen) if fault.level == "error"] == []
    assert seen["machines"] >= 1
    shipped = [*(RESULTS / "records" / MACHINE).iterdir(), RESULTS / "machines" / f"{MACHINE}.json", *(RESULTS / "checks").iterdir()]
    assert 0 < sum(file.stat().st_size for file in shipped) < 20e6


def test_every_record_is_of_a_clean_commit(shipped: list[Record]) -> None:
    assert {record.environment["dirty"] for record in shipped} == {False}
    assert all(re.fullmatch("[0-9a-f]{40}", str(record.environment["commit"])) for record in shipped)


def test_statuses_are_known_and_what_is_not_ok_says_why(shipped: list[Record]) -> None:
    counts = Counter(record.status for record in shipped)
    assert counts["ok"] and set(counts) <= set(get_args(Status))
    assert all(record.reason for record in shipped if record.status != "ok")
    assert all(record.measurements for record in shipped if record.status == "ok")


def test_the_readmes_table_is_that_of_the_records(shipped: list[Record]) -> None:
    """Every mean that it prints, to its last digit; a cell without a number has no record that is ok."""
    columns, rows = readme_table()
    for what, cells in rows:
        task, _, setting = what.partition(", ")
        layers = re.fullmatch(r"(\d+) skipless layers", setting)
        means = means_of(shipped, "skipless", int(layers[1]), DEEP) if layers else means_of(shipped, "residual", 2, SHALLOW)
        printed = dict(zip(columns, cells, strict=True))
        numbers = {column: cell for column, cell in printed.items() if re.fullmatch(r"[.\d]+", cell)}
        assert numbers, what
        for column, cell in numbers.items():
            digits = len(cell.partition(".")[2])
            assert f"{means[task, column]:.{digits}f}".lstrip("0") == cell, (what, column)
        assert not [column for column in printed.keys() - numbers.keys() if (task, column) in means], what
