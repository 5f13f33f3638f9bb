"""What the pages say of training runs beside their results: how many seeds diverged, and whose rate is at an edge."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

from attnbench.analysis.diverged import COUNTED
from attnbench.spec.protocol import NEWEST
from attnbench.store.record import Record
from attnbench.website.publish import render
from attnbench.website.results import Results
from attnbench.website.tables.learnt import learnt_table
from attnbench.website.tables.table import Cell, Table
from helpers.records import learnt
from helpers.site_records import task_spec, trained
from helpers.site_sources import NO_CLAIMS, SOURCES

GIVEN: dict[str, Any] = {"task": "mnist", "block": "residual", "num_layers": 2, "epochs": 3}


def table_of(records: list[Record]) -> Table:
    results = Results(records, SOURCES.declared)
    (group,) = results.groups("task")
    return learnt_table(results, group)


def cells(table: Table, variant: str) -> dict[str, Cell]:
    """The cells of a mechanism's row, by the title of their column."""
    row = next(row for row in table.rows if row[1].text == variant)
    return {column.title: cell for column, cell in zip(table.columns, row, strict=True)}


def test_a_seed_that_diverged_counts_as_knowing_nothing_and_is_told() -> None:
    """The mean stands for all seeds where knowing nothing is near, as here; else the values would be shown."""
    base = {"majority_share": [0.5], "diverged": [0.0]}
    records = []
    for name, seed in itertools.product(("softmax", "orthogonal"), range(5)):
        given = {"accuracy": [0.51 + 0.01 * seed], **base} if (name, seed) != ("orthogonal", 4) else {**base, "diverged": [1.0]}
        records.append(dataclasses.replace(learnt(name, seed, 0.0), measurements=given))
    table = table_of(records)
    lost, whole = cells(table, "orthogonal"), cells(table, "softmax")
    assert (lost["Seeds"].text, lost["Seeds"].small) == ("5", "1 of 5 diverged")
    assert (whole["Seeds"].text, whole["Seeds"].small) == ("5", "")
    assert lost["Test accuracy"].text == "52.0\u2009%" and lost["Rank"].text == "1–2"
    data = {row["name"]: row for row in table.data}
    assert data["orthogonal"]["accuracy"] == pytest.approx((0.51 + 0.52 + 0.53 + 0.54 + 0.5) / 5)
    assert COUNTED in table.notes and COUNTED not in table_of(records[:5]).notes
    page = render(records, NO_CLAIMS)["variants/orthogonal.html"].decode()
    assert "50.0\u2009%" in page and "1 of 5 diverged" in page


def test_a_rate_at_the_edge_of_what_was_tried_is_marked_and_not_called_tuned() -> None:
    records = []
    for name, lr in (("softmax", 1e-2), ("orthogonal", 1e-1)):
        spec = task_spec(**GIVEN, variant=name, protocol=NEWEST.name, lr=lr, lr_grid="0.003 0.01 0.03")
        records.append(trained(spec, rates_tried=[3e-3, 1e-2, 3e-2, 1e-1]))
    table = table_of(records)
    assert [cells(table, name)["Rate"].text for name in ("softmax", "orthogonal")] == ["0.01", "0.1 (edge)"]
    assert "Chosen, not tuned: the best rate is at the edge of those that were tried, of orthogonal." in table.notes
    assert "tuned" not in table.caption
    assert "0.1 (edge)" in render(records, NO_CLAIMS)["variants/orthogonal.html"].decode()
