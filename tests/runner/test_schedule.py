"""What may run now: what is timed alone and first, trainings beside each other, and nothing before what it rests on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attnbench.runner.cell import Cell, CheckRequest, Refusal, resolve
from attnbench.runner.gate import Gate
from attnbench.runner.jobs import Result
from attnbench.runner.larger_sizes import RanOut
from attnbench.runner.plan import Plan
from attnbench.runner.schedule import MOST_LOST, Schedule
from attnbench.spec import tuning
from attnbench.spec.axes import Spec
from attnbench.spec.protocol import NEWEST
from attnbench.store.report import Report
from helpers.records import make_record, make_spec

TASK = {"track": "task", "variant": "softmax", "task": "digits", "block": "residual", "num_layers": 1, "epochs": 1}
REFUSED = Refusal("unavailable", "not here")


def kernel(seq_len: int, **axes: Any) -> Cell:
    return resolve(make_spec(seq_len=seq_len, **axes))


def training(seed: int = 0, **axes: Any) -> Cell:
    return resolve(Spec(**{**TASK, "lr": 1e-3, "seed": seed, **axes}))


def scheduled(cells: Sequence[Cell], results: Path, checked: bool = True, **given: Any) -> Schedule:
    """A schedule of cells, with a gate that has the checks of softmax unless it is to ask for them."""
    gate = Gate(results)
    if checked:
        request = cells[0].check_request
        gate.add(request, Result("ok", "done", None, Report(variant="softmax", fingerprint=request.fingerprint(), device="cpu")))
    return Schedule(Plan(cells, {}, lambda cell: False), gate, RanOut(), **given)


def recorded(cell: Cell, **fields: Any) -> Any:
    return make_record(cell.spec, fingerprint=cell.fingerprint, **fields)


def test_what_is_timed_comes_first_and_only_where_nothing_else_runs(results: Path) -> None:
    cells = [training(0), kernel(16), training(1)]
    schedule = scheduled(cells, results)
    assert schedule.take(alone=False) is None, "a training before what is timed would put it off"
    assert schedule.take(alone=True) == cells[1]
    schedule.add(recorded(cells[1]))
    assert [schedule.take(alone=False), schedule.take(alone=False)] == [cells[0], cells[2]]
    assert schedule.take(alone=True) is None and schedule.is_over()


def test_where_nothing_may_be_timed_trainings_run(results: Path) -> None:
    cells = [kernel(16), training()]
    schedule = scheduled(cells, results)
    assert schedule.take(alone=True, timed=False) == cells[1]
    assert schedule.take(alone=True, timed=False) is None and not schedule.is_over()


def test_a_larger_size_waits_for_the_smaller_ones_and_is_not_tried_where_these_run_out(results: Path) -> None:
    cells = [kernel(16), kernel(32), kernel(64)]
    schedule = scheduled(cells, results)
    assert schedule.take(alone=True) == cells[0]
    assert schedule.take(alone=True) is None, "another place has to wait"
    schedule.add(recorded(cells[0]))
    assert schedule.take(alone=True) == cells[1]
    schedule.add(recorded(cells[1], status="oom", stage="time", reason="no memory", measurements={}))
    last = schedule.take(alone=False)
    assert isinstance(last, Cell) and last.refused is not None and last.refused.status == "skipped", "what is not tried needs no place"


def test_a_tuned_cell_waits_for_all_of_its_trials_and_has_the_best_rate(results: Path) -> None:
    tuned = training(lr=None, lr_grid="0.001 0.003")
    trials = [dataclasses.replace(tuned, spec=spec) for spec in tuning.trials(tuned.spec)]
    schedule = scheduled([*trials, tuned], results)
    assert [schedule.take(alone=False) for _ in range(3)] == [*trials, None]
    for trial, score in ((trials[1], 0.9), (trials[0], 0.5)):
        assert schedule.take(alone=False) is None
        schedule.add(recorded(trial, measurements={"validation_accuracy": [score]}))
    chosen = schedule.take(alone=False)
    assert isinstance(chosen, Cell) and (chosen.spec.lr, chosen.spec.lr_grid) == (0.003, "0.001 0.003")


def test_trials_that_the_best_at_an_edge_asks_for_are_run_before_the_cells_that_rest_on_them(results: Path) -> None:
    """Five rates with two seeds; the largest is the best, so that the next one is tried, once for both cells that wait."""
    cells = [training(seed, lr=None, lr_grid=tuning.grid(NEWEST.base_rates(1e-3)), protocol=NEWEST.name) for seed in (0, 1)]
    trials = [dataclasses.replace(cells[0], spec=spec) for spec in tuning.trials(cells[0].spec)]
    more: list[Cell] = []
    schedule = scheduled([*trials, *cells], results, on_more=more.extend)

    def learnt(cell: Cell) -> None:
        loss = {1e-2: 0.5, 3e-2: 0.8}.get(cell.spec.lr or 0, 1.0) + 1e-9 * cell.spec.seed
        schedule.add(recorded(cell, measurements={"validation_loss": [loss], "diverged": [0.0]}))

    for _ in trials:
        cell = schedule.take(alone=False)
        assert isinstance(cell, Cell)
        learnt(cell)
    added = [schedule.take(alone=False), schedule.take(alone=False)]
    assert more == added and schedule.take(alone=False) is None and not schedule.is_over()
    assert [(cell.spec.lr, cell.spec.seed) for cell in more] == [(3e-2, 1000), (3e-2, 1001)]
    for cell in more:
        learnt(cell)
    found = [schedule.take(alone=False), schedule.take(alone=False)]
    assert [(cell.spec.lr, cell.spec.seed, cell.rates_tried[-1]) for cell in found if isinstance(cell, Cell)] == [
        (1e-2, n, 3e-2) for n in (0, 1)
    ]
    assert schedule.is_over()


def test_a_check_is_asked_for_once_and_its_cells_wait_for_it(results: Path) -> None:
    cells = [kernel(16), training(0), training(1)]
    schedule = scheduled(cells, results, checked=False)
    request = schedule.take(alone=False)
    assert request == cells[0].check_request
    assert schedule.take(alone=True) is None and not schedule.is_over()


def test_a_red_check_refuses_all_of_its_cells(results: Path) -> None:
    cells = [training(0), training(1)]
    schedule = scheduled(cells, results, checked=False)
    request = schedule.take(alone=False)
    assert isinstance(request, CheckRequest)
    schedule._gate.add(request, Result("oom", "padding", "no memory"))
    schedule.checked(request)
    refused = [schedule.take(alone=False) for _ in cells]
    assert [cell.refused for cell in refused if isinstance(cell, Cell)] == [Refusal("oom", "no memory", "check: padding")] * 2


def test_what_was_lost_is_handed_out_again_but_not_for_ever(results: Path) -> None:
    cell = training()
    schedule = scheduled([cell], results)
    for _ in range(MOST_LOST):
        assert schedule.take(alone=False) == cell
        assert schedule.take(alone=False) is None
        schedule.again(cell)
    last = schedule.take(alone=False)
    assert isinstance(last, Cell) and last.refused is not None and last.refused.status == "unavailable"
    schedule.add(recorded(last))
    assert schedule.is_over()


def test_a_lost_check_is_asked_for_again(results: Path) -> None:
    schedule = scheduled([training()], results, checked=False)
    request = schedule.take(alone=False)
    assert isinstance(request, CheckRequest) and schedule.take(alone=False) is None
    schedule.again(request)
    assert schedule.take(alone=False) == request


def test_a_check_that_is_lost_again_and_again_keeps_its_cells_from_running(results: Path) -> None:
    schedule = scheduled([training(0), training(1)], results, checked=False)
    for _ in range(MOST_LOST):
        request = schedule.take(alone=False)
        assert isinstance(request, CheckRequest) and schedule.take(alone=False) is None
        schedule.again(request)
    refused = [schedule.take(alone=False), schedule.take(alone=False)]
    lost = Refusal("unavailable", f"its worker was lost {MOST_LOST} times while it ran", "check: run")
    assert [cell.refused for cell in refused if isinstance(cell, Cell)] == [lost] * 2


def test_trainings_may_have_an_order_and_what_is_timed_keeps_that_of_the_plan(results: Path) -> None:
    cells = [kernel(32), kernel(16), *(training(seed) for seed in range(3))]
    schedule = scheduled(cells, results, order=lambda cell: -float(cell.spec.seed))
    taken = []
    while isinstance(cell := schedule.take(alone=True), Cell):
        taken.append(cell)
        schedule.add(recorded(cell))
    assert taken == [cells[0], cells[1], cells[4], cells[3], cells[2]]


def test_a_cell_that_is_refused_beforehand_needs_no_check(results: Path) -> None:
    cell = dataclasses.replace(training(), refused=REFUSED)
    assert scheduled([cell], results, checked=False).take(alone=False) == cell
