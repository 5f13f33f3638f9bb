"""Which record of a cell counts: rare cases, in which the store, the frame, the site and the terminal must agree."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from rich.console import Console

from attnbench.analysis.frame import frame
from attnbench.analysis.settings import comparable, newest_of_cells
from attnbench.cli.filters import Filter
from attnbench.cli.show import show_results
from attnbench.store.newest import newest, newest_places
from attnbench.store.record import PYTEST_BENCHMARK, Origin, Record
from attnbench.store.store import Store
from attnbench.website.results import Results
from helpers.records import make_record, make_spec


class Given(NamedTuple):
    """A record of the one cell: its session, the day on which it began, and whether it was imported."""

    session: str
    day: int
    imported: bool = False


# In the store's order, and the place of the one that counts.
CASES = {
    "the later session": ([Given("a", 1), Given("b", 2)], 1),
    "the session that measured it later, whatever its name": ([Given("a", 2), Given("b", 1)], 0),
    "the later name of two sessions that began it at once": ([Given("a", 1), Given("b", 1)], 1),
    "the later line of a session": ([Given("a", 1), Given("a", 2)], 1),
    "the later line of a session, of equal times": ([Given("a", 1), Given("a", 1)], 1),
    "the later line of a session whose clock was set back": ([Given("a", 2), Given("a", 1)], 1),
    "another session, since the clock was set back below it": ([Given("a", 3), Given("a", 1), Given("b", 2)], 2),
    "the session whose last line began later, not its first": ([Given("a", 1), Given("a", 3), Given("b", 2)], 1),
    "what was measured, though an import is newer": ([Given("a", 1), Given("b", 2, imported=True)], 0),
    "what was measured, though an import stands later in its session": ([Given("a", 1), Given("a", 2, imported=True)], 0),
    "the newer of two imports": ([Given("a", 1, imported=True), Given("b", 2, imported=True)], 1),
    "the later import of a session whose clock was set back": ([Given("a", 2, imported=True), Given("a", 1, imported=True)], 1),
}
CASE = pytest.mark.parametrize(("given", "counts"), CASES.values(), ids=list(CASES))


def records_of(given: list[Given]) -> list[Record]:
    """Each took as many seconds as its place from 1 on says."""
    return [
        make_record(
            session=session,
            started_at=f"2026-01-0{day}T00:00:00Z",
            duration_s=float(place),
            origin=Origin(by=PYTEST_BENCHMARK if imported else "local"),
            measurements={"forward_s": [float(place)], "drift_anchor_s": [1e-3]},
        )
        for place, (session, day, imported) in enumerate(given, start=1)
    ]


@CASE
def test_the_record_that_counts(given: list[Given], counts: int) -> None:
    records = records_of(given)
    assert newest(records, lambda record: (record.machine, record.id)) == [records[counts]]


@CASE
def test_the_frame_the_site_and_the_terminal_agree(given: list[Given], counts: int, tmp_path: Path) -> None:
    records = records_of(given)
    for record in records:
        Store(tmp_path).append(record)
    stored = list(Store(tmp_path).read())
    assert stored == records
    (seconds,) = comparable(frame(stored), "kernel").query("metric == 'forward_s'")["value"]
    out = io.StringIO()
    show_results(tmp_path, Filter(), Console(file=out, width=200), Console(file=out))
    told = [f"{place}.00\u2009s" in out.getvalue() for place in range(1, len(records) + 1)]
    site = Results(stored, {})
    (ranked,) = site.standings.places("time", stored[0]).values()
    assert [seconds] == records[counts].measurements["forward_s"]
    assert told == [record is records[counts] for record in records]
    assert site.records == newest_of_cells(stored, lambda record: record.spec.variant) == [records[counts]]
    assert ranked.seconds is not None and ranked.seconds.value == pytest.approx(seconds)
    if not any(record.imported for record in given):
        assert list(Store(tmp_path).finished("desk").values()) == [records[counts]]


@CASE
def test_the_order_of_sessions_does_not_matter(given: list[Given], counts: int) -> None:
    records = records_of(given)
    reversed_sessions = sorted(records, key=lambda record: record.session, reverse=True)
    assert newest(reversed_sessions, lambda record: record.id) == [records[counts]]
    assert Results(reversed_sessions, {}).records == [records[counts]]


def test_an_imported_record_finishes_no_cell(results: Path) -> None:
    (record,) = records_of([Given("a", 1, imported=True)])
    Store(results).append(record)
    assert Store(results).finished("desk") == {}


def test_cells_stand_in_the_order_in_which_they_appear() -> None:
    one, other, again = (make_record(machine=machine, session=session) for machine, session in (("x", "a"), ("y", "a"), ("x", "b")))
    assert newest([one, other, again], lambda record: record.machine) == [again, other]
    assert newest([], lambda record: record.machine) == []


def test_a_cell_under_two_versions_of_torch_is_two_cells(tmp_path: Path) -> None:
    """For versions of torch are settings that share no table."""
    old, new = (make_record(session=session, environment={"torch": session}) for session in ("2.12.0", "2.13.0"))
    assert comparable(frame([old, new]), "kernel")["record"].nunique() == 2
    assert newest_of_cells([old, new], lambda record: record.spec.variant) == [old, new]
    assert set(Results([old, new], {}).table["torch"]) == {"2.12.0", "2.13.0"}
    assert len(Results([old, new], {}).groups("kernel")) == 2


def test_a_tuned_cell_is_one_cell_whatever_rate_was_chosen_when() -> None:
    axes = {"track": "task", "task": "mnist", "block": "residual", "num_layers": 2, "epochs": 1, "seq_len": None, "mode": "training"}
    none, first, again, other_grid = (
        make_record(make_spec(**axes, lr=lr, lr_grid=grid), started_at=f"2026-01-0{day}T00:00:00Z", session=f"s{day}")
        for day, (lr, grid) in enumerate([(None, "0.1 0.2"), (0.1, "0.1 0.2"), (0.2, "0.1 0.2"), (0.2, "0.2")], start=1)
    )
    given = make_record(make_spec(**axes, lr=0.1))
    trial = make_record(make_spec(**axes, lr=0.1, evaluate="validation"))
    records = [again, none, first, given, other_grid, trial]
    assert newest_of_cells(records, lambda record: record.spec.variant) == [again, given, other_grid, trial]


@pytest.mark.parametrize("seed", range(20))
def test_many_records_are_judged_as_few_are(seed: int) -> None:
    """By the rule as one would write it for one cell, record by record."""
    chance = random.Random(seed)
    rows = [(chance.randrange(9), chance.choice("abc"), chance.choice(("", "1", "2", "3")), chance.random() < 0.3) for _ in range(300)]
    cells, sessions, started_at, imported = zip(*rows, strict=True)
    numbers = {cell: number for number, cell in enumerate(sorted(set(cells)))}
    found = newest_places(np.array([numbers[cell] for cell in cells]), sessions, started_at, np.array(imported))
    expected = []
    for cell in numbers:
        mine = [place for place, row in enumerate(rows) if row[0] == cell]
        mine = [place for place in mine if not imported[place]] or mine
        last = {sessions[place]: place for place in mine}.values()
        expected.append(max(last, key=lambda place: (started_at[place], sessions[place])))
    assert found.tolist() == expected
