"""The seconds of a cell, estimated from records: those of the cell itself, of its neighbours, of all, or of none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from attnbench.measurement.clock import ANCHOR_PATIENCE_S, SETTLE_S, WARM_ROUNDS, StoppingRule
from attnbench.runner.estimate import Estimate, duration_text, time_left
from attnbench.spec.axes import Spec
from attnbench.store.facts import TIMING
from attnbench.store.record import Record
from helpers.installed import found, install
from helpers.records import TASK, make_record, make_spec


def measured(spec: Spec, call_s: float, rest_s: float = 1.0, timing_s: float = 2.0, **fields: Any) -> Record:
    """A record of a cell whose call took so long, and all but its timing too."""
    given: dict[str, Any] = {"environment": {"timing": TIMING}, "stages_s": {"start": rest_s, "time": timing_s}, **fields}
    return make_record(spec, measurements={f"{spec.mode}_s": [call_s], "peak_memory_bytes": [1.0]}, **given)


def of(variant: str, seq_len: int, **axes: Any) -> Spec:
    return make_spec(variant=variant, seq_len=seq_len, **axes)


def timing_s(*calls: float) -> float:
    """By the clock's own rule: before a call that counts are others of its kind where it has a neighbour, one or for some time."""
    rounds = next(n for n in range(1, 10_000) if StoppingRule().is_over(n, n * sum(calls)))
    settling_s = sum(max(SETTLE_S, call_s) for call_s in calls) if len(calls) > 1 else 0.0
    return (WARM_ROUNDS + rounds) * (settling_s + sum(calls))


def test_a_cell_takes_what_it_took() -> None:
    known = Estimate([measured(of("softmax", 64), 0.01, rest_s=3.0, timing_s=4.0)])
    assert known.seconds(of("softmax", 64)) == 7.0
    assert known.records == 1


def test_an_older_record_tells_of_a_call_whose_rounds_are_counted_anew() -> None:
    """There each call of a round was made once, and no round thrown away."""
    known = Estimate([measured(of("softmax", 64), 0.5, environment={})])
    assert known.seconds(of("softmax", 64)) == pytest.approx(1.0 + timing_s(0.5, 0.5))


def test_the_newest_record_of_a_cell_counts() -> None:
    records = [measured(of("softmax", 64), 0.5, rest_s=rest, started_at=f"2026-11-2{rest:.0f}T00:00:00Z") for rest in (3.0, 1.0, 2.0)]
    assert Estimate(records).seconds(of("softmax", 64)) == 5.0


@pytest.mark.parametrize(("seq_len", "call_s"), [(400, 0.16), (800, 0.64), (3200, 10.24)])
def test_between_and_beyond_lengths_it_lies_on_their_line(seq_len: int, call_s: float) -> None:
    """Of a quadratic cost; the anchor, softmax, takes next to nothing here."""
    records = [measured(of("mine", n), (n / 1000) ** 2) for n in (200, 1600)]
    records += [measured(of("softmax", n), 1e-9) for n in (200, 3200)]
    assert Estimate(records).seconds(of("mine", seq_len)) == pytest.approx(1.0 + timing_s(call_s, 1e-9), rel=1e-3)


@pytest.mark.parametrize(("variant", "growth"), [("orthogonal", 4), ("polynomial", 16), ("mine", 16)])
def test_from_one_length_it_grows_as_the_mechanism_claims(variant: str, growth: int) -> None:
    """And quadratically where nobody knows what it claims."""
    records = [measured(of(variant, 256), 0.01), *(measured(of("softmax", n), 1e-9) for n in (256, 1024))]
    assert Estimate(records).seconds(of(variant, 1024)) == pytest.approx(growth * 1.0 + timing_s(0.01 * growth, 1e-9), rel=1e-3)


def test_a_new_mechanism_takes_what_the_others_take() -> None:
    records = [measured(of(name, 256), call_s) for name, call_s in (("softmax", 0.1), ("a", 0.3), ("b", 0.5))]
    assert Estimate(records).seconds(of("mine", 256)) == pytest.approx(1.0 + timing_s(0.3, 0.1))


def test_another_mode_of_a_mechanism_is_scaled_by_its_passes() -> None:
    known = Estimate([measured(of("softmax", 1024), 0.1)])
    assert known.seconds(of("softmax", 1024, mode="training")) == pytest.approx(3.5 * 1.0 + timing_s(0.35, 0.35), rel=0.5)


def test_short_calls_take_as_long_as_they_settle() -> None:
    known = Estimate([measured(of("softmax", 256), 1e-5, environment={})])
    assert known.seconds(of("softmax", 256)) == pytest.approx(1.0 + timing_s(1e-5, 1e-5))
    assert timing_s(1e-5, 1e-5) > 100 * SETTLE_S


def test_softmax_is_not_interleaved_where_a_call_of_it_takes_too_long() -> None:
    records = [measured(of("softmax", 256), 2 * ANCHOR_PATIENCE_S, environment={}), measured(of("mine", 256), 0.1, environment={})]
    assert Estimate(records).seconds(of("mine", 256)) == pytest.approx(1.0 + timing_s(0.1))  # alone, a call follows its like


def test_without_records_longer_and_wider_and_deeper_cells_take_longer() -> None:
    rough = Estimate().seconds
    assert rough(of("softmax", 512)) < rough(of("softmax", 4096)) < rough(of("softmax", 4096, mode="training"))
    assert rough(of("softmax", 4096)) < rough(of("softmax", 4096, head_dim=128)) < rough(of("softmax", 4096, head_dim=128, batch_size=8))
    shallow, deep = (make_spec(track="depth", mode="training", seq_len=64, block="residual", num_layers=n) for n in (1, 64))
    assert rough(shallow) < rough(deep)
    assert rough(make_spec(**TASK)) < rough(make_spec(**{**TASK, "epochs": 9}))
    assert rough(of("orthogonal", 65536, causal=True)) < rough(of("orthogonal", 128))  # it is skipped


def test_a_grouped_cell_has_an_estimate_of_its_own_and_takes_no_time_where_it_is_skipped() -> None:
    records = [measured(of("softmax", 1024), 0.2), measured(of("softmax", 1024, num_kv_heads=1), 0.1)]
    known = Estimate(records).seconds
    assert known(of("softmax", 1024, num_kv_heads=1, seed=1)) == pytest.approx(1.0 + timing_s(0.1, 0.1))
    assert known(of("softmax", 1024, seed=1)) == pytest.approx(1.0 + timing_s(0.2, 0.2))
    assert known(of("cosine", 1024, num_kv_heads=1)) < 1.0 < known(of("mine", 1024, num_kv_heads=1))  # of a stranger nobody knows


def test_a_training_is_scaled_by_its_epochs() -> None:
    record = make_record(make_spec(**TASK), measurements={"accuracy": [0.5]}, stages_s={"train": 20.0, "test": 1.0})
    known = Estimate([record])
    assert known.seconds(make_spec(**{**TASK, "seed": 1, "lr": 0.5})) == 21.0
    assert known.seconds(make_spec(**{**TASK, "epochs": 3})) == pytest.approx(63.0)
    longer = make_record(make_spec(**{**TASK, "epochs": 4}), measurements={"accuracy": [0.5]}, stages_s={"train": 40.0})
    assert Estimate([longer]).seconds(record.spec) == pytest.approx(10.0)


def test_of_trainings_of_one_kind_the_median_of_those_on_a_quiet_machine_counts() -> None:
    def trained(seed: int, took: float, load: float) -> Record:
        given: dict[str, Any] = {"stages_s": {"train": took}, "started_at": f"2026-11-2{seed}", "measurements": {"accuracy": [0.5]}}
        return make_record(make_spec(**{**TASK, "seed": seed}), environment={"load_average": load, "jobs": 2}, **given)

    busy = [trained(0, 99.0, 5.0), trained(1, 60.0, 2.6)]
    quiet = [trained(2, 20.0, 0.1), trained(3, 24.0, 2.0), trained(4, 22.0, 2.5)]
    new = make_spec(**{**TASK, "seed": 7})
    known = Estimate([*busy, *quiet])
    assert [known.seconds(of) for of in (new, quiet[1].spec, busy[0].spec)] == [22.0, 24.0, 22.0]
    assert Estimate(busy).seconds(new) == Estimate(busy).seconds(busy[0].spec) == 60.0


def test_a_mechanism_that_was_not_trained_yet_takes_as_much_longer_than_softmax_as_a_step_of_it() -> None:
    """And as the others do where no step was timed."""
    of_step = {name: of for name, of in TASK.items() if name not in ("epochs", "lr")} | {"track": "step"}
    trained = make_record(make_spec(**TASK), measurements={"accuracy": [0.5]}, stages_s={"train": 20.0})
    steps = [measured(make_spec(**of_step, variant=name), call_s) for name, call_s in (("softmax", 0.01), ("orthogonal", 0.025))]
    new = make_spec(**{**TASK, "variant": "orthogonal", "epochs": 2, "weight_decay": 0.0, "seed": 3})
    assert Estimate([trained, *steps]).seconds(new) == pytest.approx(100.0)
    assert Estimate([trained]).seconds(new) == pytest.approx(40.0)
    own = make_record(make_spec(**TASK, variant="orthogonal"), measurements={"accuracy": [0.5]}, stages_s={"train": 7.0})
    assert Estimate([trained, *steps, own]).seconds(new) == pytest.approx(14.0)


def test_what_another_machine_took_is_scaled_by_the_cells_that_both_have_run() -> None:
    """Twice as long here by the epochs of one task: so is another task, that only the other machine knows; and one that has no common cell
    is taken as it is."""

    def trained(machine: str, seconds: float, **axes: Any) -> Record:
        spec = make_spec(**{**TASK, **axes})
        return make_record(spec, measurements={"accuracy": [0.5]}, stages_s={"train": seconds}, machine=machine)

    theirs = [trained("theirs", 10.0, epochs=1), trained("theirs", 30.0, epochs=1, task="mqar"), trained("third", 7.0, task="sotu_lm")]
    own = trained("mine", 40.0, epochs=2, seed=1)
    new = {name: make_spec(**{**TASK, "epochs": 1, "seed": 5, "task": name}) for name in ("mqar", "sotu_lm")}
    known = Estimate([*theirs, own], machine="mine")
    assert known.seconds(new["mqar"]) == pytest.approx(60.0)
    assert known.seconds(new["sotu_lm"]) == pytest.approx(7.0)
    assert known.seconds(theirs[0].spec) == pytest.approx(20.0)  # not as it took there, though it is the same cell
    assert Estimate(theirs, machine="mine").seconds(new["mqar"]) == pytest.approx(30.0)
    assert Estimate([*theirs, own]).seconds(new["mqar"]) == pytest.approx(30.0)  # taken as records of one machine


def test_a_model_with_a_token_shift_has_an_estimate_of_its_own() -> None:
    records = [
        make_record(make_spec(**TASK, token_shift=on), measurements={"accuracy": [0.5]}, stages_s={"train": 20.0 + on})
        for on in (False, True)
    ]
    assert [Estimate(records).seconds(make_spec(**TASK, seed=1, token_shift=on)) for on in (False, True)] == [20.0, 21.0]


def test_a_model_of_another_norm_at_the_start_takes_as_long() -> None:
    """As the same model of the usual norm, and not as one of the same norm that is otherwise made."""
    other, same = (
        make_record(make_spec(**TASK, **axes), measurements={"accuracy": [0.5]}, stages_s={"train": seconds})
        for axes, seconds in (({"init_norm": 0.5, "token_shift": True}, 50.0), ({}, 20.0))
    )
    assert Estimate([other, same]).seconds(make_spec(**TASK, init_norm=0.5)) == 20.0


def test_a_plug_in_that_cannot_be_imported_has_an_estimate_as_a_stranger_has(tmp_path: Path) -> None:
    install(tmp_path, "package-broken", {"broken": "module_broken:VARIANT"}, module_broken="raise RuntimeError('boom')\n")
    records = [measured(of("softmax", 64), 0.01), measured(of("broken", 64), 0.01), measured(of("stranger", 64), 0.01)]
    known = Estimate(records)
    with found(tmp_path):
        assert known.seconds(of("broken", 512)) == known.seconds(of("stranger", 512))


def test_what_failed_tells_nothing() -> None:
    failed = measured(of("softmax", 64), 0.01, status="timeout", reason="killed")
    assert Estimate([failed]).records == 0


@pytest.mark.parametrize(("low", "high"), [(1e-300, 1e300), (5e-324, 1.0), (1e300, 1e-300), (1e308, 1e308)])
def test_no_cell_is_expected_to_take_longer_than_it_may(low: float, high: float) -> None:
    """Records may say anything that a number can be, and a line through two of them goes on."""
    known = Estimate([measured(of("softmax", 64), low), measured(of("softmax", 65), high)], limit_s=90.0)
    for seq_len in (1, 63, 66, 2**53):
        assert 0 <= known.seconds(of("softmax", seq_len)) <= 90.0
    assert Estimate([measured(of("softmax", 64), 1.0, timing_s=1e300)], limit_s=90.0).seconds(of("softmax", 64)) == 90.0


def test_what_is_left_is_a_number_where_cells_are_said_to_take_no_time() -> None:
    known = Estimate([measured(of("softmax", 64), 1.0, rest_s=0.0, timing_s=0.0)])
    expected = known.seconds(of("softmax", 64))
    assert duration_text(time_left(0.0, 0.0, expected)) == duration_text(time_left(1.0, expected, 0.0)) == "0 s"
