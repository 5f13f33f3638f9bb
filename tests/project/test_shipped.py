"""The records that ship: whole, small, from clean commits, of known statuses, of models that learned, and as the README tells of them.

Which mechanism learns how well is a finding, and no test asks for it: the README's numbers are those of the records, whatever they are.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from statistics import fmean
from typing import get_args

import pytest

from attnbench.analysis.settings import newest_of_cells
from attnbench.stats import in_groups
from attnbench.store.metrics import higher_is_better
from attnbench.store.record import Record, Status
from attnbench.store.store import Store
from attnbench.store.validate import validate
from helpers.paths import REPO

RESULTS = REPO / "results"
MACHINE = "cloud-2core"
SEEDS = 3
RATES = {None: "0.001 0.003", 8: "0.0005 0.001", 10: "0.00025 0.0005"}  # that were tried: in residual stacks, in skipless ones by epochs
METRICS = ("accuracy", "bits_per_byte")
KNOWING_NOTHING = ("majority_share", "unigram_bits")

Results = dict[tuple[str, str], list[float]]  # of each seed, by task and mechanism


@pytest.fixture(scope="module")
def shipped() -> list[Record]:
    newest = newest_of_cells(Store(RESULTS).read(), lambda record: f"{record.spec.variant} {dict(record.spec.params)}")
    records = [record for record in newest if record.machine == MACHINE]
    assert records
    return records


def results_of(records: list[Record], block: str, num_layers: int, lr_grid: str) -> Results:
    """What each mechanism reached with each seed on the test part of each task, and what one reaches that knows nothing."""
    found: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    for record in records:
        spec, measured = record.spec, record.measurements
        if (spec.block, spec.num_layers, spec.lr_grid, record.status) == (block, num_layers, lr_grid, "ok"):
            for column, metrics in ((spec.variant, METRICS), ("knowing nothing", KNOWING_NOTHING)):
                (metric,) = measured.keys() & set(metrics)
                found[str(spec.task), column][spec.seed] = measured[metric][0]
    assert found
    assert {tuple(sorted(seeds)) for seeds in found.values()} == {tuple(range(SEEDS))}
    return {key: [seeds[seed] for seed in range(SEEDS)] for key, seeds in found.items()}


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


def test_losses_are_finite_and_fell(shipped: list[Record]) -> None:
    """Of every run that did not diverge, which a record says itself; they fell in residual stacks, from the first epoch to the last."""
    trained = [r for r in shipped if r.spec.track == "task" and r.status == "ok" and not r.measurements["diverged"][0]]
    assert any(record.spec.block == "residual" for record in trained)
    for record in trained:
        losses = [loss for loss in record.curve["train_loss"][1:] if loss is not None]  # none before training
        assert len(losses) == record.spec.epochs and all(map(math.isfinite, losses)), record.spec.label()
        assert record.spec.block == "skipless" or losses[-1] < losses[0], record.spec.label()


def test_softmax_learned_more_than_the_frequencies_of_the_answers(shipped: list[Record]) -> None:
    """In residual models, the sanity of the baseline."""
    of_softmax = [r for r in shipped if (r.spec.variant, r.spec.block, r.spec.evaluate, r.status) == ("softmax", "residual", "test", "ok")]
    of_softmax = [record for record in of_softmax if record.spec.track == "task"]
    assert of_softmax
    for record in of_softmax:
        (metric,), (nothing,) = (record.measurements.keys() & set(names) for names in (METRICS, KNOWING_NOTHING))
        ahead = record.measurements[metric][0] - record.measurements[nothing][0]
        assert ahead > 0 if higher_is_better(metric) else ahead < 0, record.spec.label()


def test_the_readmes_table_is_that_of_the_records(shipped: list[Record]) -> None:
    """Every mean that it prints, to its last digit, or each seed where these fall into groups; a cell without a number has no record."""
    columns, rows = readme_table()
    for what, cells in rows:
        task, _, setting = what.partition(", ")
        stack = re.fullmatch(r"(\d+) skipless layers, (\d+) epochs", setting)
        block = ("skipless", int(stack[1]), RATES[int(stack[2])]) if stack else ("residual", 2, RATES[None])
        results = results_of(shipped, *block)
        printed = dict(zip(columns, cells, strict=True))
        numbers = {column: cell for column, cell in printed.items() if re.fullmatch(r"[.\d]+(, [.\d]+)*", cell)}
        assert numbers, what
        (nothing,) = set(results[task, "knowing nothing"])
        learnable = max(abs(value - nothing) for (of, _), seeds in results.items() if of == task for value in seeds)
        for column, cell in numbers.items():
            seeds = results[task, column]
            shown = sorted(seeds) if in_groups(seeds, learnable) else [fmean(seeds)]
            digits = len(cell.split(", ")[0].partition(".")[2])
            assert ", ".join(f"{value:.{digits}f}".lstrip("0") for value in shown) == cell, (what, column)
        assert not [column for column in printed.keys() - numbers.keys() if (task, column) in results], what


def test_the_readmes_seconds_of_training_are_those_of_the_records(shipped: list[Record]) -> None:
    trained = [r for r in shipped if r.spec.track == "task" and r.spec.evaluate == "test" and r.status == "ok"]
    shallow = [
        r.measurements["train_s"][0] for r in trained if (r.spec.block, r.spec.lr_grid, r.spec.num_layers) == ("residual", RATES[None], 2)
    ]
    skipless = [r.measurements["train_s"][0] for r in trained if r.spec.block == "skipless" and not r.measurements["diverged"][0]]
    text = " ".join((REPO / "README.md").read_text().split())
    assert f"trained for {min(shallow):.0f} to {max(shallow):.0f} s in the rows of 2 layers" in text
    assert f"for {min(skipless):.0f} to {max(skipless):.0f} s in skipless stacks where it did not diverge" in text
