"""Which cells a run has: trials before what they tune, each once, and nothing that is finished."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from pathlib import Path

import pytest

from attnbench.errors import BadInput
from attnbench.runner.cell import Cell, Refusal
from attnbench.runner.finished import Finished
from attnbench.runner.gate import Gate
from attnbench.runner.jobs import Limits
from attnbench.runner.plan import Choice, Key, Plan, choose
from attnbench.spec import presets, tuning
from attnbench.store.record import Record
from helpers.records import make_record

STANDARD = Choice(preset="standard", tracks=("task",), tasks=("mnist",), variants=("softmax", "relu"))
BEST = 3e-3  # the rate in the middle of the grid


def recorded(cell: Cell) -> Record:
    """The record of a run; of trials the middle rate is the best."""
    if cell.spec.evaluate == "test":
        return make_record(cell.spec, fingerprint=cell.fingerprint, measurements={"accuracy": [0.5], "diverged": [0.0]})
    loss = abs(math.log10(cell.spec.lr or 1.0) - math.log10(BEST)) + 1e-6 * cell.spec.seed
    return make_record(cell.spec, fingerprint=cell.fingerprint, measurements={"validation_loss": [loss], "diverged": [0.0]})


def known(records: Iterable[Record]) -> dict[Key, Record]:
    return {(record.id, record.fingerprint): record for record in records}


def planned(cells: list[Cell], records: dict[Key, Record]) -> Plan:
    return Plan(cells, records, lambda cell: cell.key in records)


def run_through(plan: Plan) -> list[Cell]:
    """Every cell that a plan gives, each recorded before the next is asked for."""
    done = []
    for planned_one in plan.todo:
        if cell := plan.chosen(planned_one):
            assert isinstance(cell, Cell)
            done.append(cell)
            plan.add(recorded(cell))
    return done


def test_trials_come_once_and_before_what_they_tune() -> None:
    cells = choose(STANDARD)
    assert len({cell.key for cell in cells}) == len(cells)
    seen: set[str] = set()
    for cell in cells:
        if tuning.is_open(cell.spec):
            assert {one.key() for one in tuning.trials(cell.spec)} <= seen
        seen.add(cell.spec.key())
    assert any(cell.spec.evaluate == "validation" for cell in cells)


def test_each_rate_is_chosen_when_its_turn_has_come() -> None:
    cells = choose(STANDARD)
    done = run_through(planned(cells, {}))
    assert len(done) == len(cells)
    tuned = [cell.spec for cell in done if cell.spec.evaluate == "test"]
    assert {(spec.lr_grid, spec.lr) for spec in tuned} == {("0.0003 0.001 0.003 0.01 0.03", BEST)}
    assert all(cell.rates_tried == (3e-4, 1e-3, 3e-3, 1e-2, 3e-2) for cell in done if cell.spec.evaluate == "test")
    for name in ("softmax", "relu"):
        assert {spec.seed for spec in tuned if spec.variant == name} == {0, 1, 2, 3, 4}


def test_a_finished_run_has_nothing_to_do_and_a_cut_one_the_rest() -> None:
    cells = choose(STANDARD)
    done = run_through(planned(cells, {}))
    records = [recorded(cell) for cell in done]
    assert planned(cells, known(records)).todo == []
    assert len(planned(cells, known(records)).kept) == len(cells)
    for cut in (1, 2, 3, len(done) // 2, len(done) - 1):
        assert run_through(planned(cells, known(records[:cut]))) == done[cut:]


def test_what_cannot_be_tuned_says_why_and_is_tried_again_when_a_trial_ended_otherwise(tmp_path: Path) -> None:
    cells = choose(dataclasses.replace(STANDARD, variants=("softmax",)))[:11]  # ten trials and the first that rests on them
    plan = planned(cells, {})
    given = []
    for planned_one in plan.todo:
        cell = plan.chosen(planned_one)
        assert isinstance(cell, Cell)
        given.append(cell)
        plan.add(make_record(cell.spec, fingerprint=cell.fingerprint, status="oom", reason="no memory", measurements={}))
    assert [cell.refused is None for cell in given] == [True] * 10 + [False]
    last = given[-1]
    assert last.spec.lr is None and last.refused == Refusal("oom", "no memory")
    refused = make_record(last.spec, fingerprint=last.fingerprint, status="oom", stage="not tried", reason="no memory", measurements={})
    finished = Finished({last.key: refused}, Gate(tmp_path), Limits(memory_share=0.0))
    assert finished.record(last) == refused
    assert finished.record(dataclasses.replace(last, refused=Refusal("oom", "another reason"))) is None


def test_data_of_the_hub_are_taken_where_there_are_any() -> None:
    cells = choose(Choice(preset="standard", tracks=("task",), variants=("softmax",), data="hub"))
    by_task = {cell.spec.task: str(cell.spec.data) for cell in cells}
    assert by_task["mnist"] == "hub:ylecun/mnist"
    assert by_task["sotu_era"].startswith("embedded:")
    with pytest.raises(BadInput, match="none of the chosen tasks has hub data"):
        choose(Choice(preset="standard", tasks=("sotu_era",), data="hub"))
    with pytest.raises(BadInput, match="unknown data source 'cloud'"):
        choose(Choice(preset="standard", data="cloud"))


def test_a_task_that_no_preset_holds_joins_its_first_grid(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(Path(presets.__file__).parents[1].joinpath("tasks", "mnist.py").read_text(encoding="utf-8"), encoding="utf-8")
    cells = choose(Choice(preset="standard", tasks=(str(file),), variants=("softmax",)))
    assert {(cell.spec.task, cell.spec.block, cell.task_source) for cell in cells} == {("mine", "residual", str(file))}
    assert {cell.spec.seed for cell in cells if cell.spec.evaluate == "test"} == {0, 1, 2, 3, 4}
    both = choose(Choice(preset="quick", tasks=(str(file), "mnist"), variants=("softmax",)))
    assert {cell.spec.task for cell in both} == {"mine", "mnist"}
