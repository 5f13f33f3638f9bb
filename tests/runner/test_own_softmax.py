"""Softmax's own cells: measured again beside new cells of a shape of one's own, and missed where a preset's are of other sessions."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from attnbench.runner.cell import Cell, resolve
from attnbench.runner.own_softmax import measured_again, without_softmax
from attnbench.spec.own_cells import own_specs
from attnbench.store.store import Store
from helpers.command import cli_here
from helpers.records import make_record, make_spec

CELLS = [resolve(spec) for spec in own_specs({"seq_len": ["16,32"], "mode": ["forward"], "seed": ["0,1"]}, ["relu", "sigmoid"], "cpu")]


def labels(cells: Collection[Cell]) -> set[tuple[str, int | None, int]]:
    return {(cell.spec.variant, cell.spec.seq_len, cell.spec.seed) for cell in cells}


def again(*due: tuple[str, int, int]) -> set[tuple[str, int | None, int]]:
    """The cells of softmax that are measured again where these are due."""
    keys = measured_again(CELLS, lambda cell: (cell.spec.variant, cell.spec.seq_len, cell.spec.seed) not in due)
    return labels([cell for cell in CELLS if cell.key in keys])


def test_softmax_is_measured_again_beside_each_cell_that_is_due_and_no_other() -> None:
    assert again() == set()
    assert again(("relu", 16, 0), ("sigmoid", 16, 0), ("sigmoid", 32, 1)) == {("softmax", 16, 0), ("softmax", 32, 1)}
    assert again(("relu", 16, 0), ("softmax", 16, 0)) == set()  # it is due by itself
    assert again(("softmax", 16, 0)) == set()


def test_cells_whose_softmax_is_of_another_session_are_found() -> None:
    todo = [cell for cell in CELLS if cell.spec.variant == "relu"]
    assert without_softmax(todo, []) == []  # nobody measured softmax: the rounds are all there is
    before = [make_record(make_spec(variant="softmax", seq_len=16, num_heads=4, head_dim=64, seed=2))]
    assert labels(without_softmax(todo, before)) == {("relu", 16, 0), ("relu", 16, 1)}
    assert without_softmax([*todo, *(cell for cell in CELLS if cell.spec.variant == "softmax")], before) == []


def test_the_usual_loop_measures_softmax_again_and_says_so(results: Path) -> None:
    command = ("run", "--variant", "relu", "--seq-len", "16", "--mode", "forward", "--results", str(results))
    assert cli_here(*command).returncode == 0
    assert "Nothing to do" in cli_here(*command).stdout
    (relu,) = (record for record in Store(results).read() if record.spec.variant == "relu")
    lines = {file: file.read_text() for file in results.rglob("*.jsonl")}
    for file, text in lines.items():  # as if its source had changed since
        file.write_text(text.replace(relu.fingerprint, "0" * len(relu.fingerprint)))
    edited = cli_here(*command, "--dry-run").stdout
    assert "2 cells to run" in edited and "1 cell of softmax in the same shape is measured again: ratios are over those." in edited
    alone = cli_here("run", "--cell", relu.spec.compact(), "--results", str(results), "--dry-run").stdout
    assert "1 cell will rank by the ratios of the rounds, for softmax's own of its setting is of other sessions" in alone
