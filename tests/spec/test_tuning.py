"""A learning rate is chosen on the validation part of its trials, whatever order they come in and whatever became of some."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest

from attnbench.errors import BadInput
from attnbench.runner.cell import Refusal
from attnbench.runner.tuning import Tuned, tune
from attnbench.spec import tuning
from attnbench.spec.axes import Spec
from attnbench.spec.protocol import FIRST, NEWEST, PROTOCOLS
from attnbench.store.record import Record
from helpers.records import make_record

(SEED,) = FIRST.tuning_seeds
PINNED = {"2026-11": "626fe5bc", "2026-12": "a6927878"}


def open_spec(**axes: object) -> Spec:
    given = {"task": "mnist", "block": "residual", "num_layers": 2, "epochs": 3, "lr_grid": "0.001 0.003 0.01", "seed": 2}
    return Spec(track="task", variant="softmax", **{**given, **axes})


def choose_rate(spec: Spec, tried: list[Record]) -> Spec | Refusal:
    """What follows from some trials; those of the grid that are missing failed as the first of these did, if any did."""
    known = {record.id: record for record in tried}
    found = tune(spec, lambda one: known.get(one.key()))
    if isinstance(found, list):  # none is missing that was not asked for
        assert {one.lr for one in found} == set(tuning.base_rates(spec)) - {record.spec.lr for record in tried}
        less = dataclasses.replace(spec, lr_grid=tuning.grid(float(record.spec.lr or 0) for record in tried))
        found = tune(less, lambda one: known.get(one.key()))
    assert not isinstance(found, list)
    return dataclasses.replace(found.spec, lr_grid=spec.lr_grid) if isinstance(found, Tuned) else found


def trial(rate: float, value: float | None = None, metric: str = "accuracy", diverged: bool = False) -> Record:
    """The record of a trial; without a value, of one that failed."""
    spec = dataclasses.replace(open_spec(), lr=rate, lr_grid=None, seed=SEED, evaluate="validation")
    if value is None:
        return make_record(spec, status="error", reason="ValueError: no\nmore", measurements={})
    return make_record(spec, measurements={f"validation_{metric}": [value], "diverged": [float(diverged)]})


def test_a_grid_has_one_trial_a_rate_that_never_sees_the_test_part() -> None:
    spec = open_spec()
    trials = tuning.trials(spec)
    assert tuning.is_open(spec) and not any(tuning.is_open(one) for one in trials)
    assert [one.lr for one in trials] == [0.001, 0.003, 0.01]
    assert {one.evaluate for one in trials} == {"validation"}
    assert {one.seed for one in trials} == {SEED} and SEED > 100  # none of the seeds that count
    assert trials == tuning.trials(open_spec(seed=0))  # seeds share them


@pytest.mark.parametrize("epochs", [1, 6])
def test_a_part_or_twice_of_a_budget_shares_the_trials_of_the_whole(epochs: int) -> None:
    assert tuning.trials(open_spec(epochs=epochs, tuned_epochs=3)) == tuning.trials(open_spec())


@pytest.mark.parametrize(
    ("tried", "chosen"),
    [
        ([trial(0.001, 0.7), trial(0.003, 0.9), trial(0.01, 0.8)], 0.003),
        ([trial(0.01, 0.9), trial(0.003, 0.9), trial(0.001, 0.8)], 0.003),  # two as good: the smaller
        ([trial(0.001, 0.3), trial(0.003, 0.5, diverged=True), trial(0.01)], 0.001),
        ([trial(0.001, 0.1, diverged=True), trial(0.003, 0.1, diverged=True)], 0.001),
        ([trial(0.001, 2.9, "bits_per_byte"), trial(0.003, 2.5, "bits_per_byte"), trial(0.01, 4.0, "bits_per_byte")], 0.003),
    ],
)
def test_the_best_on_the_validation_part_is_chosen(tried: list[Record], chosen: float) -> None:
    closed = choose_rate(open_spec(), tried)
    assert isinstance(closed, Spec)
    assert (closed.lr, closed.lr_grid, closed.seed, closed.evaluate) == (chosen, "0.001 0.003 0.01", 2, "test")


def test_where_every_trial_failed_the_cell_ends_as_they_did() -> None:
    assert choose_rate(open_spec(), [trial(0.001), trial(0.003)]) == Refusal("error", "ValueError: no")
    out = dataclasses.replace(trial(0.003), status="oom", reason="no memory")
    assert choose_rate(open_spec(), [trial(0.001), out]) == Refusal(
        "skipped", "no rate could be tried; error: ValueError: no; oom: no memory"
    )


@pytest.mark.parametrize("damage", [{}, {"validation_accuracy": []}, {"accuracy": [0.5]}, {"diverged": [0.0]}])
def test_a_trial_whose_result_is_gone_does_not_count(damage: dict[str, list[float]]) -> None:
    gone = dataclasses.replace(trial(0.01, 0.9), measurements=damage)
    closed = choose_rate(open_spec(), [trial(0.001, 0.7), gone])
    assert isinstance(closed, Spec) and closed.lr == 0.001
    refused = choose_rate(open_spec(), [gone])
    assert isinstance(refused, Refusal) and "no result on the validation part" in refused.reason
    unknown = dataclasses.replace(trial(0.01, 0.9), measurements={"validation_accuracy": [0.9]})
    closed = choose_rate(open_spec(), [trial(0.001, 0.7), unknown])
    assert isinstance(closed, Spec) and closed.lr == 0.01  # whether it diverged is not known


@pytest.mark.parametrize("grid", ["", "fast", "0.1 -1", "0.1,0.2"])
def test_a_grid_that_is_none_is_refused(grid: str) -> None:
    with pytest.raises(BadInput, match="give rates above 0"):
        tuning.trials(open_spec(lr_grid=grid))


def test_a_grid_reads_from_small_to_large() -> None:
    assert tuning.grid([3e-3, 1e-3 / 3, 1e-3]) == "0.000333 0.001 0.003"


def modern(**axes: object) -> Spec:
    """An open spec by the newest protocol, whose own rates go on beyond its grid."""
    return open_spec(**{"protocol": NEWEST.name, "lr_grid": tuning.grid(NEWEST.base_rates(0.003)), **axes})


def loss_of(rate: float, seed: int) -> float:
    """The best is 1e-4, which the grid around 3e-3 does not hold; seeds differ by less than rates do."""
    return abs(math.log10(rate) + 4) + 0.001 * (seed % 7)


def tuned_by(spec: Spec, loss: Callable[[float, int], float | None]) -> tuple[Tuned | Refusal, list[tuple[float, int]]]:
    """What a spec is tuned to, and every trial that was asked for, in order. loss: of a trial, None for one that diverges."""
    known, asked = {}, []
    while isinstance(found := tune(spec, lambda one: known.get(one.key())), list):
        for one in found:
            assert one.evaluate == "validation" and one.key() not in known
            value = loss(float(one.lr or 0), one.seed)
            asked.append((float(one.lr or 0), one.seed))
            measured = {
                "validation_accuracy": [0.5],
                "diverged": [float(value is None)],
                **({} if value is None else {"validation_loss": [value]}),
            }
            known[one.key()] = make_record(one, measurements=measured)
    return found, asked


def test_the_grid_grows_until_the_best_is_not_at_its_edge() -> None:
    found, asked = tuned_by(modern(), loss_of)
    assert isinstance(found, Tuned) and found.spec.lr == 1e-4 and found.spec.evaluate == "test"
    assert found.rates == (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
    assert asked[:10] == [(rate, seed) for seed in (1000, 1001) for rate in (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)]
    assert asked[10:] == [(1e-4, 1000), (1e-4, 1001), (3e-5, 1000), (3e-5, 1001)]


def test_a_third_seed_decides_between_rates_that_two_cannot_tell_apart() -> None:
    found, asked = tuned_by(
        modern(),
        lambda rate, seed: (0.0 if rate in (1e-3, 3e-3) else 1.0) + (0.1 * (rate == 3e-3) if seed == 1002 else 0.1 * (seed == 1000)),
    )
    assert isinstance(found, Tuned) and found.spec.lr == 1e-3
    assert asked[10:] == [(1e-3, 1002), (3e-3, 1002)]


def test_a_model_may_need_two_trials_to_decide_between_its_best_rates() -> None:
    """Whatever its seeds and the parts of its budget; none where its rate is given, or the protocol decides without."""
    seeds = [open_spec(protocol=NEWEST.name, seed=seed) for seed in range(3)]
    part = open_spec(protocol=NEWEST.name, epochs=1, tuned_epochs=3)
    other = open_spec(protocol=NEWEST.name, num_layers=6)
    given = [open_spec(lr=0.1, protocol=NEWEST.name), open_spec(protocol=FIRST.name)]
    found = tuning.deciding([*seeds, part, other, *given])
    assert [(one.num_layers, one.epochs, one.seed, one.evaluate) for one in found] == [
        (layers, 3, NEWEST.deciding_seed, "validation") for layers in (2, 2, 6, 6)
    ]


def test_a_mechanism_that_always_diverges_is_tried_down_to_the_smallest_rate() -> None:
    found, asked = tuned_by(modern(), lambda rate, seed: None)
    assert isinstance(found, Tuned) and found.spec.lr == min(NEWEST.rates) == found.rates[0]
    assert len(asked) == len(set(asked)) == 2 * len(found.rates)


def test_the_protocols_are_what_their_records_say() -> None:
    """A protocol never changes: another way to train or to tune is another protocol, with a name of its own."""
    assert {name: rules.fingerprint() for name, rules in PROTOCOLS.items()} == PINNED
    with pytest.raises(BadInput, match="unknown protocol '2026-13'"):
        tuning.trials(modern(protocol="2026-13"))
