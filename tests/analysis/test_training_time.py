"""Training runs of one thread stand for every machine of an architecture; their times are steps times the seconds of a step on one."""

from __future__ import annotations

from typing import Any

import pytest

from attnbench.analysis.frame import frame
from attnbench.analysis.frontiers import frontiers
from attnbench.analysis.overall import time_to_target
from attnbench.analysis.ranking import ranking
from attnbench.analysis.settings import setting_of
from attnbench.analysis.step_times import step_times
from attnbench.analysis.training_time import TIMED_ON, with_training_time
from attnbench.store.facts import APART, TIMING
from attnbench.store.record import Record
from helpers.records import make_record, make_spec

MODEL = {"task": "mnist", "data": "embedded:1", "block": "residual", "num_layers": 2, "seq_len": None, "mode": "training"}
STEPS = 200.0


def trained(variant: str, seed: int = 0, machine: str = "desk", accuracy: float = 0.9, **facts: Any) -> Record:
    """A training run, that reached its target half way."""
    spec = make_spec(track="task", variant=variant, epochs=1, lr=1e-3, seed=seed, **MODEL)
    learnt = {
        "accuracy": [accuracy],
        "steps": [STEPS],
        "steps_to_target": [STEPS / 2],
        "training_tokens": [1e5],
        "peak_memory_bytes": [1e6],
    }
    environment = {"torch": "2.13.0", "threads": 1, "architecture": "x86_64", "timing": APART, **facts}
    curve = {"step": [0.0, STEPS], "wall_s": [0.0, 77.0], "validation_accuracy": [0.1, accuracy]}
    return make_record(spec, machine=machine, measurements=learnt, environment=environment, curve=curve)


def step(variant: str, seconds: float, seed: int = 0, machine: str = "desk", **facts: Any) -> Record:
    spec = make_spec(track="step", variant=variant, seed=seed, **MODEL)
    samples = [seconds * (1 + 0.001 * number) for number in range(-6, 7)]
    environment = {"torch": "2.13.0", "threads": 2, "architecture": "x86_64", "timing": TIMING, **facts}
    return make_record(
        spec,
        machine=machine,
        measurements={"training_s": samples, "peak_memory_bytes": [1e6], "drift_anchor_s": [5e-3] * 6},
        environment=environment,
    )


def timed(record: Record, *steps: Record) -> Record:
    return with_training_time(record, record.spec.variant, step_times(frame(steps), None))


def test_accuracies_of_one_thread_are_pooled_over_machines_and_those_of_more_are_not() -> None:
    one = [trained("softmax", seed, machine, accuracy=0.8 + seed / 100) for seed, machine in enumerate(("desk", "laptop", "rack"))]
    (row,) = ranking(frame(one), "result", "task").to_dict("records")
    assert (row["machine"], row["threads"], row["records"]) == ("any x86_64", 1, 3) and row["value"] == pytest.approx(0.81)
    assert len({setting_of(record) for record in one}) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_older_training_runs_were_timed_and_stay_with_their_machine_also_those_of_one_thread(threads: int) -> None:
    facts = {"torch": "2.13.0", "threads": threads, "architecture": "x86_64"}
    old = []
    for machine, seconds in (("slow", 100.0), ("fast", 10.0)):
        measured = {"accuracy": [0.9], "train_s": [seconds], "time_to_target_s": [seconds], "drift_anchor_s": [5e-3] * 6}
        spec = make_spec(track="task", epochs=1, lr=1e-3, **MODEL)
        old.append(make_record(spec, machine=machine, environment=facts, measurements=measured))
    for found in (ranking(frame(old), "result", "task"), frontiers(frame(old)), time_to_target(frame(old))):
        assert sorted(found["machine"]) == ["fast", "slow"]
    assert len({setting_of(record) for record in old}) == 2


def test_a_quota_below_one_processor_slows_what_is_timed_and_changes_nothing_that_is_learnt() -> None:
    assert setting_of(trained("softmax", processor_quota=0.5)) == setting_of(trained("softmax"))
    assert setting_of(step("softmax", 0.01, processor_quota=0.5)) != setting_of(step("softmax", 0.01))


@pytest.mark.parametrize("other", [{"torch": "2.14.0"}, {"architecture": "aarch64"}])
def test_another_build_of_torch_and_another_architecture_stand_apart(other: dict[str, str]) -> None:
    records = [trained("softmax"), trained("softmax", 1, **other)]
    assert len(ranking(frame(records), "result", "task")) == 2 and len({setting_of(record) for record in records}) == 2


def test_of_one_seed_on_two_machines_the_newest_counts() -> None:
    older = trained("softmax", machine="laptop", accuracy=0.1)
    newer = make_record(**{**vars(trained("softmax", accuracy=0.9)), "started_at": "2027-01-01T00:00:00Z", "session": "b"})
    (row,) = ranking(frame([older, newer]), "result", "task").to_dict("records")
    assert (row["value"], row["records"]) == (0.9, 1)


def test_a_training_run_takes_its_steps_times_the_seconds_of_a_step() -> None:
    found = timed(trained("softmax"), step("softmax", 0.01))
    values = {name: found.measurements[name][0] for name in ("train_s", "time_to_target_s", "training_tokens_per_s")}
    assert values == pytest.approx({"train_s": 2.0, "time_to_target_s": 1.0, "training_tokens_per_s": 5e4}, rel=0.01)
    assert found.curve["wall_s"] == pytest.approx([0.0, 2.0], rel=0.01)
    assert found.environment[TIMED_ON] == "desk, 2 threads"


def test_without_a_step_that_counts_there_is_no_time() -> None:
    other = ({"other_load": 0.9}, {"torch": "1.0"}, {"architecture": "aarch64"})
    for steps in ([], [step("orthogonal", 0.01)], *([step("softmax", 0.01, **facts)] for facts in other)):
        found = timed(trained("softmax"), *steps)
        assert "train_s" not in found.measurements and "wall_s" not in found.curve


def test_the_machine_that_timed_most_mechanisms_times_all() -> None:
    """One table never mixes the seconds of two machines."""
    few, many = [step("softmax", 9.0, machine="desk")], [step(name, 0.01, machine="rack") for name in ("softmax", "orthogonal")]
    for name in ("softmax", "orthogonal"):
        found = timed(trained(name), *few, *many)
        assert found.measurements["train_s"][0] == pytest.approx(2.0, rel=0.01) and found.environment[TIMED_ON] == "rack, 2 threads"


def test_older_records_keep_the_times_that_they_measured() -> None:
    old = make_record(make_spec(track="task", epochs=1, lr=1e-3, **MODEL), measurements={"accuracy": [0.9], "train_s": [5.0]})
    assert timed(old, step("softmax", 0.01)) is old


def test_the_frontier_of_time_is_by_the_seconds_of_a_step() -> None:
    records = [trained(name, seed, accuracy=x + seed / 1000) for name, x in (("softmax", 0.9), ("orthogonal", 0.8)) for seed in range(3)]
    records += [step(name, x, seed) for name, x in (("softmax", 0.01), ("orthogonal", 0.03)) for seed in range(3)]
    rows = frontiers(frame(records)).set_index("label")
    assert rows["place"].to_dict() == {"softmax": "frontier", "orthogonal": "dominated"}
    assert rows["cost"].to_dict() == pytest.approx({"softmax": 2.0, "orthogonal": 6.0}, rel=0.01)
    reached = time_to_target(frame(records)).set_index("label")
    assert reached["value"].to_dict() == pytest.approx({"softmax": 1.0, "orthogonal": 3.0}, rel=0.01)
    assert list(reached["reached"]) == [3, 3]
    for found in (rows, reached):
        assert set(found["machine"]) == {"any x86_64"} and set(found["timed_on"]) == {"desk, 2 threads"}


def test_a_run_that_ended_early_costs_a_whole_training_on_the_frontier() -> None:
    """What a mechanism that diverges at the first step would take is no less for that."""
    records = [trained("softmax"), trained("orthogonal", accuracy=0.1), step("softmax", 0.01), step("orthogonal", 0.03)]
    records[1].measurements["steps"] = [1.0]
    assert frontiers(frame(records)).set_index("label")["cost"].to_dict() == pytest.approx({"softmax": 2.0, "orthogonal": 6.0}, rel=0.01)
