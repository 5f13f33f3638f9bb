"""Over tasks: average ranks, Pareto frontiers, time to target; and no mean where some seeds learned and some did not."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest

from attnbench.analysis.compare import compare
from attnbench.analysis.frame import frame
from attnbench.analysis.frontiers import frontiers
from attnbench.analysis.overall import lengths_text, task_ranks, time_to_target
from attnbench.analysis.settings import BENCH
from attnbench.analysis.task_metrics import is_solved
from attnbench.store.record import Record
from helpers.records import learnt


def scores(**by_variant: Sequence[float | None]) -> list[Record]:
    """One score for each task, the same for three seeds but for a little."""
    found = []
    for variant, of in by_variant.items():
        for number, score in enumerate(of):
            for seed in range(3):
                if score is not None:
                    found.append(learnt(variant, seed, score + 1e-4 * seed, task=f"task{number}"))
    return found


def test_average_ranks_over_tasks_tell_apart_only_beyond_the_critical_difference() -> None:
    few = scores(softmax=[0.9] * 3, orthogonal=[0.8] * 3, polynomial=[0.7] * 3)
    (found,) = task_ranks(frame(few))
    assert (found.labels, found.ranks, len(found.tasks), found.left_out) == (
        ("softmax", "orthogonal", "polynomial"),
        (1.0, 2.0, 3.0),
        3,
        (),
    )
    assert found.found is not None and found.found.critical_difference == pytest.approx(2.343 * math.sqrt(12 / 18), rel=1e-3)
    assert found.found.beats.tolist() == [[False, False, True], [False] * 3, [False] * 3]


def test_a_task_that_all_solve_leaves_the_average_and_is_named() -> None:
    """On the last task all are above .999, whatever their order; on the one before it one mechanism is not."""
    records = scores(softmax=[0.9, 0.9, 0.9991, 0.9995], orthogonal=[0.8, 0.8, 0.7985, 0.9998])
    (found,) = task_ranks(frame(records))
    assert found.tasks == tuple(f"task{n} (embedded:00000000)" for n in range(3))
    assert found.left_out == ("task3 (embedded:00000000): all mechanisms are above 0.999, so that it orders nothing",)
    assert found.ranks == (1.0, 2.0)
    assert is_solved("accuracy", [0.9991, 1.0]) and not is_solved("accuracy", [0.999, 1.0]) and not is_solved("accuracy", [])
    assert not is_solved("bits_per_byte", [1.5, 2.0])  # of which fewer are better


def test_controls_are_in_no_average() -> None:
    """They would raise the number of mechanisms, and with it the critical difference; what was left out says so."""
    mechanisms = scores(softmax=[0.9] * 3, orthogonal=[0.7] * 3)
    (alone,) = task_ranks(frame(mechanisms))
    (beside,) = task_ranks(frame([*mechanisms, *scores(identity=[0.8] * 3, uniform=[0.1] * 2)]))
    assert (
        (beside.labels, beside.ranks, beside.tasks)
        == (alone.labels, alone.ranks, alone.tasks)
        == (
            ("softmax", "orthogonal"),
            (1.0, 2.0),
            tuple(f"task{n} (embedded:00000000)" for n in range(3)),
        )
    )
    assert beside.found is not None and alone.found is not None
    assert beside.found.critical_difference == alone.found.critical_difference
    assert beside.left_out == tuple(f"{label}: a control, which does not compete" for label in ("identity", "uniform"))


def test_controls_do_not_hide_that_all_solve_a_task() -> None:
    records = scores(softmax=[0.9, 0.9, 0.9995], orthogonal=[0.8, 0.8, 0.9998], uniform=[0.03, 0.03, 0.03])
    (found,) = task_ranks(frame(records))
    assert found.tasks == tuple(f"task{n} (embedded:00000000)" for n in range(2))
    assert found.left_out[0] == "task2 (embedded:00000000): all mechanisms, controls aside, are above 0.999, so that it orders nothing"


def test_a_tie_with_a_control_of_few_seeds_leaves_a_task_in_the_average() -> None:
    """Two seeds of a control where three are asked: what no test tells apart there may be far apart."""
    records = scores(softmax=[0.9] * 3, orthogonal=[0.7] * 3)
    tied = [learnt("uniform", seed, 0.9 + 1e-4 * seed, task="task0") for seed in range(3)]
    (whole,), (few,) = task_ranks(frame([*records, *tied])), task_ranks(frame([*records, *tied[:2]]))
    assert "task0 (embedded:00000000): uniform cannot be told from softmax here, so that it orders nothing" in whole.left_out
    assert len(whole.tasks) == 2 and len(few.tasks) == 3


def test_controls_choose_no_recipe() -> None:
    """Four layers have one mechanism and two controls, two layers two mechanisms: the recipe with two counts."""
    controls = [learnt(v, seed, 0.2, task="task0", num_layers=4) for v in ("softmax", "identity", "uniform") for seed in range(3)]
    (found,) = task_ranks(frame([*controls, *scores(softmax=[0.9] * 2, orthogonal=[0.7] * 2)]))
    assert len(found.tasks) == 2 and found.ranks == (1.0, 2.0)


@pytest.mark.parametrize("option", [{"token_shift": True}, {"init_norm": 0.5}])
def test_models_with_an_option_take_no_part_in_the_average(option: dict[str, object]) -> None:
    """Here they would turn the order."""
    records = scores(softmax=[0.9] * 3, orthogonal=[0.8] * 3)
    turned = [
        learnt(v, seed, x, task=f"task{n}", **option)
        for v, x in (("softmax", 0.1), ("orthogonal", 0.2))
        for seed in range(3)
        for n in range(3)
    ]
    (found,) = task_ranks(frame([*turned, *records]))
    assert (found.labels, found.ranks, found.left_out) == (("softmax", "orthogonal"), (1.0, 2.0), ())


def test_the_lengths_of_tasks_are_told() -> None:
    assert lengths_text(["mnist (embedded:1)", "mqar (generated)", "sotu_era (embedded:2)"]) == "N 32 to 128"
    assert lengths_text(["mnist (embedded:1)", "somebodys (embedded:2)"]) == "N 49"
    assert lengths_text(["somebodys (embedded:2)"]) == ""


def test_what_an_average_leaves_out_is_said() -> None:
    """One mechanism has one task of four; another lacks the last task, which nobody is then ranked by."""
    records = scores(softmax=[0.9] * 4, orthogonal=[0.8, 0.8, 0.8, None], polynomial=[0.7, None, None, None])
    (found,) = task_ranks(frame(records))
    assert found.labels == ("softmax", "orthogonal")
    assert found.tasks == tuple(f"task{n} (embedded:00000000)" for n in range(3))
    assert found.left_out == ("polynomial: 3 seeds of 1 of 4 tasks", "task3 (embedded:00000000): no result of orthogonal")
    (alone,) = task_ranks(frame(scores(softmax=[0.9] * 4)))
    assert alone.found is None
    benches = task_ranks(frame([*records, *(dataclasses.replace(r, machine="other") for r in records)]))
    assert [of.bench[0] for of in benches] == ["desk", "other"]
    alone = [dataclasses.replace(r, session="t", environment={**r.environment, "threads": 1}) for r in records]
    benches = task_ranks(frame([*records, *alone]))
    assert [of.bench[BENCH.index("threads")] for of in benches] == ["1", ""]


def test_a_mechanism_some_of_whose_seeds_learned_is_on_the_frontier_by_its_median() -> None:
    scores = {"softmax": (0.9, 0.1, 0.88), "orthogonal": (0.8, 0.79, 0.81)}
    records = [learnt(name, seed, x) for name, of in scores.items() for seed, x in enumerate(of)]
    records = [dataclasses.replace(r, measurements={**r.measurements, "majority_share": [0.1]}) for r in records]
    assert frontiers(frame(records)).set_index("label").gain.to_dict() == pytest.approx({"softmax": 0.88, "orthogonal": 0.8})


def test_of_seeds_of_which_some_learned_there_is_no_mean() -> None:
    records = [
        learnt(name, seed, x)
        for name, of in (("softmax", (0.9, 0.1, 0.88)), ("orthogonal", (0.8, 0.79, 0.81)))
        for seed, x in enumerate(of)
    ]
    records = [dataclasses.replace(r, measurements={**r.measurements, "majority_share": [0.1]}) for r in records]
    (pair,) = compare(frame(records), "softmax", "orthogonal", whats=["result"]).pairs
    assert (pair.a, pair.b, pair.difference) == (pytest.approx(0.88), pytest.approx(0.8), "undecided")
    assert pair.change is not None and pair.change.confidence == 0


def test_frontiers_know_ties() -> None:
    def runs(variant: str, accuracy: float, seconds: float, memory: float = 1e6) -> list[Record]:
        more = {"train_s": [seconds], "peak_memory_bytes": [memory], "drift_anchor_s": [1e-3]}
        return [
            learnt(variant, s, 0, measurements={"accuracy": [accuracy + 0.002 * s], **more, "train_s": [seconds + s / 50]})
            for s in range(3)
        ]

    records = [*runs("softmax", 0.9, 10), *runs("orthogonal", 0.9, 30), *runs("polynomial", 0.8, 10.01), *runs("gated", 0.95, 40, 9e6)]
    by_time = frontiers(frame(records)).set_index("label")
    assert by_time.place.to_dict() == {"gated": "frontier", "orthogonal": "dominated", "polynomial": "dominated", "softmax": "frontier"}
    assert by_time.loc["gated"].gain == pytest.approx(0.952) and by_time.loc["gated"].cost == pytest.approx(40.02)
    by_memory = frontiers(frame(records), "memory").set_index("label")
    assert by_memory.place["orthogonal"] == "frontier" and by_memory.place["polynomial"] == "dominated"
    lacking = [dataclasses.replace(r, measurements={"accuracy": [0.99]}) for r in runs("sigmoid", 0.9, 10)]
    assert "sigmoid" not in set(frontiers(frame([*records, *lacking])).label)


def test_seeds_that_never_reach_the_target_are_counted_and_no_time_is_made_up() -> None:
    records = [learnt("softmax", seed, 0.9) for seed in range(3)]
    records = [
        dataclasses.replace(r, measurements={**r.measurements, "time_to_target_s": [4.0 + i]}) for i, r in enumerate(records[:2])
    ] + records[2:]
    (row,) = time_to_target(frame(records)).itertuples()
    assert (row.reached, row.seeds, row.value, row.low, row.high) == (2, 3, 4.5, 4.0, 5.0)
