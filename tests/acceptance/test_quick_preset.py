"""What `make leaderboard` left: every cell of this machine came to its end, every model learned something, and the pages are there.

Which mechanism learns how well, or is how fast, is a finding and no test. ATTNBENCH_LEADERBOARD names the checkout in which it was made.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from attnbench.runner.cell import resolve
from attnbench.spec.presets import PRESETS
from attnbench.store.environment import machine_name
from attnbench.store.newest import newest
from attnbench.store.record import Record
from attnbench.store.store import Store

pytestmark = pytest.mark.long
VARIABLE = "ATTNBENCH_LEADERBOARD"
PAGES = (
    "index.html", "scaling.html", "accuracy.html", "depth.html", "claims.html", "compare.html", "machines.html",
    "data/attnbench.parquet", "asv/index.html",
)  # fmt: skip


@pytest.fixture(scope="module")
def checkout() -> Path:
    if VARIABLE not in os.environ:
        pytest.skip(f"{VARIABLE} names no checkout in which `make leaderboard` was run")
    return Path(os.environ[VARIABLE])


@pytest.fixture(scope="module")
def records(checkout: Path) -> list[Record]:
    """This machine's; the store ships with those of others."""
    ran = (record for record in Store(checkout / "results").read() if record.machine == machine_name())
    found = newest(ran, cell=lambda record: record.id)
    assert found, f"{checkout / 'results'} holds no record of {machine_name()}"
    return found


def test_every_cell_came_to_its_end(records: list[Record]) -> None:
    assert [f"{record.status}: {record.spec.label()}: {record.reason}" for record in records if record.status != "ok"] == []
    assert {record.spec.key() for record in records} == {resolve(spec).spec.key() for spec in PRESETS["quick"].specs()}
    assert len(records) == 94


def test_curves_are_whole_and_the_loss_of_softmax_fell(records: list[Record]) -> None:
    """A mechanism that diverges says so; that is a finding."""
    trained = [record for record in records if record.spec.track == "task"]
    assert trained
    for record in trained:
        losses, validation = record.curve["train_loss"][1:], record.curve["validation_accuracy"]  # no loss before training
        assert len(losses) == len(validation) - 1 == len(record.curve["step"]) - 1 > 0, record.spec.label()
        assert record.measurements["diverged"] in ([0.0], [1.0]), record.spec.label()
        if record.spec.variant == "softmax":
            assert record.measurements["diverged"] == [0.0] and None not in (*losses, *validation), record.spec.label()
            assert all(map(math.isfinite, losses)) and losses[-1] < losses[0], record.spec.label()


def test_softmax_learns_more_than_the_majority_class(records: list[Record]) -> None:
    of_softmax = [record for record in records if (record.spec.track, record.spec.variant) == ("task", "softmax")]
    assert of_softmax
    for record in of_softmax:
        assert record.measurements["accuracy"][0] > record.measurements["majority_share"][0], record.spec.label()


@pytest.mark.parametrize("page", PAGES)
def test_the_page_is_there(checkout: Path, page: str) -> None:
    assert (checkout / "site" / "dist" / page).stat().st_size > 0
