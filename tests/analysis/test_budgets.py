"""How long training is: what a pilot shows, the ends of parts of a budget, and which mechanisms still gain at theirs."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from attnbench.analysis.budgets import by_budget, gains_of, ladders, still_gains
from attnbench.analysis.frame import frame
from attnbench.analysis.overall import task_ranks
from attnbench.analysis.rates import trials_by_setting, trials_of
from attnbench.analysis.settings import setting_of
from attnbench.claims._runs import budgets
from attnbench.spec.protocol import FIRST, NEWEST
from attnbench.store.record import Record
from helpers.records import learnt

GRID = "0.001 0.003 0.01"


def trial(epochs: int, rate: float, value: float, seed: int = 1000, variant: str = "softmax", diverged: bool = False) -> Record:
    record = learnt(variant, seed, 0.5, lr=rate)
    spec = dataclasses.replace(record.spec, evaluate="validation", protocol=NEWEST.name, epochs=epochs)
    measured = {"validation_accuracy": [value], "diverged": [float(diverged)]}
    return dataclasses.replace(record, id=spec.key(), spec=spec, measurements=measured)


def result(epochs: int = 8, variant: str = "softmax", seed: int = 0, **axes: Any) -> Record:
    record = learnt(variant, seed, 0.5, lr=1e-3)
    given = {"epochs": epochs, "lr_grid": GRID, "protocol": NEWEST.name, **axes}
    spec = dataclasses.replace(record.spec, **given)
    return dataclasses.replace(record, id=spec.key(), spec=spec)


def curve(*values: float, protocol: str = NEWEST.name, **fields: Any) -> Record:
    points = {"step": [10.0 * i for i in range(len(values))], "validation_accuracy": list(values)}
    return dataclasses.replace(result(protocol=protocol), curve=points, **fields)


def name_of(record: Record) -> str:
    return record.spec.variant


def test_softmax_reaches_this_with_doubled_budgets() -> None:
    """At the best of the rates that all budgets have, which is not the best of all."""
    records = [trial(4, 1e-3, 0.70), trial(4, 3e-3, 0.60), trial(4, 1e-2, 0.99), trial(8, 1e-3, 0.75), trial(8, 3e-3, 0.80)]
    records += [
        trial(8, 1e-3, 0.77, seed=1001),
        trial(8, 3e-3, 0.82, seed=1001),
        trial(16, 3e-3, 0.83),
        trial(16, 1e-3, 0.1, diverged=True),
    ]
    records += [trial(4, 1e-3, 0.9, variant="orthogonal")]
    trials = trials_by_setting(records, name_of)
    assert by_budget(trials, result(8), "accuracy") == pytest.approx({4: 0.70, 8: 0.81, 16: 0.83})
    assert by_budget(trials, result(2, tuned_epochs=8), "accuracy") == by_budget(trials, result(8), "accuracy")
    assert by_budget(trials, result(8, block="skipless"), "accuracy") == {}
    assert by_budget(trials_by_setting([r for r in records if r.spec.epochs == 8], name_of), result(8), "accuracy") == {}


def test_a_budget_of_which_every_trial_failed_is_not_shown() -> None:
    records = [trial(4, 1e-3, 0.7), trial(8, 1e-3, 0.8), dataclasses.replace(trial(16, 1e-3, 0.9), status="out_of_memory")]
    assert by_budget(trials_by_setting(records, name_of), result(8), "accuracy") == {4: 0.7, 8: 0.8}


def test_the_rungs_of_a_ladder_are_complete_runs_at_the_rate_of_the_whole() -> None:
    whole, half = result(8), result(4, tuned_epochs=8)
    others = [result(4), result(16, tuned_epochs=8), result(2, tuned_epochs=4), result(4, tuned_epochs=8, block="skipless")]
    found = ladders([whole, half, *others])
    assert found[setting_of(whole)] == {4: [half], 8: [whole]}
    assert setting_of(half) not in found and ladders([whole, others[0]]) == {}
    assert found[setting_of(others[0])] == {2: [others[2]], 4: [others[0]]} and len(found) == 2


def test_a_trial_tunes_the_runs_of_its_budget_and_of_parts_of_it() -> None:
    far = trial(8, 3e-4, 0.7)  # a rate beyond the grid at first, which grew
    trials = trials_by_setting([far], name_of)
    for run in (result(8), result(4, tuned_epochs=8), result(16, tuned_epochs=8), result(8, variant="orthogonal")):
        assert trials_of(trials, run) == [far]
    for run in (result(4), result(8, weight_decay=0.0), result(8, lr_grid=None)):
        assert trials_of(trials, run) == []
    old, in_grid = (dataclasses.replace(one, spec=dataclasses.replace(one.spec, protocol=FIRST.name)) for one in (far, trial(8, 1e-3, 0.7)))
    assert trials_of(trials_by_setting([old, in_grid], name_of), result(8, protocol=FIRST.name)) == [in_grid]  # for none grew


@pytest.mark.parametrize(
    ("values", "gain"),
    [
        ((0.1, 0.5, 0.6, 0.70, 0.75), 0.05),  # from the third of four quarters to the end
        ((0.1, 0.5, 0.6, 0.70, 0.705), None),
        ((0.1, 0.5, 0.6, 0.80, 0.75), None),
        ((0.1, 0.9), 0.8),  # nothing between is known
        ((0.9,), None),
        ((), None),
    ],
)
def test_who_still_gains_by_hand(values: tuple[float, ...], gain: float | None) -> None:
    found = still_gains([curve(*values)], "accuracy")
    assert found == (None if gain is None else pytest.approx(gain))


def test_who_still_gains_is_a_mean_over_seeds_that_learnt() -> None:
    up, flat = curve(0.1, 0.5, 0.6, 0.7, 0.73), curve(0.1, 0.5, 0.6, 0.7, 0.70)
    assert still_gains([up, flat], "accuracy") == pytest.approx(0.015)
    assert still_gains([up, flat, flat, flat], "accuracy") is None
    assert still_gains([up, dataclasses.replace(flat, status="oom")], "accuracy") == pytest.approx(0.03)
    assert still_gains([curve(0.1, 0.5, 0.6, 0.7, 0.9, protocol=FIRST.name)], "accuracy") is None  # which states no margin
    bits = dataclasses.replace(up, curve={"step": [0.0, 1.0, 2.0, 3.0, 4.0], "validation_bits_per_byte": [8.0, 4.0, 3.0, 2.5, 2.3]})
    assert still_gains([bits], "bits_per_byte") == pytest.approx(0.2)
    assert gains_of({"up": [up], "flat": [flat], "none": []}, "accuracy") == {"up": pytest.approx(0.03)}


def test_parts_of_a_budget_take_part_in_no_average_and_no_claim() -> None:
    """Where they have more seeds than the whole, too."""
    records = [
        dataclasses.replace(result(epochs, variant, seed, task=task, **axes), measurements={"accuracy": [0.5 + 0.01 * seed + ahead]})
        for task in ("mnist", "fashion_mnist")
        for variant, ahead in (("softmax", 0.0), ("orthogonal", 0.2))
        for epochs, axes, seeds in ((8, {}, 5), (4, {"tuned_epochs": 8}, 6))
        for seed in range(seeds)
    ]
    table = frame(records)
    (aggregate,) = task_ranks(table)
    assert aggregate.labels == ("orthogonal", "softmax")
    assert task_ranks(table[table["tuned_epochs"].notna().to_numpy()]) == []
    assert [name for name, *_ in budgets(table)] == [""]
