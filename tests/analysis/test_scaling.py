"""Growth, crossovers, budgets, aggregates over tasks and lengths, on planted answers; what is missing is left out by rule."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import pytest

from attnbench.analysis.frame import frame
from attnbench.analysis.frontiers import frontiers
from attnbench.analysis.overall import lengths_text, profile, task_ranks, time_to_target
from attnbench.analysis.scaling import crossovers, feasible, growth
from attnbench.analysis.settings import BENCH
from attnbench.analysis.task_metrics import is_solved
from attnbench.errors import BadInput
from attnbench.store.record import Record
from helpers.records import learnt, make_record, make_spec, timed

LENGTHS = (256, 1024, 4096, 16384)
LONGER = (128, 256, 512, 1024, 4096, 16384)


def curve(variant: str, scale: float, power: float, lengths: Sequence[int] = LENGTHS, **fields: Any) -> list[Record]:
    """A mechanism whose time and memory are scale n^power, and its ratio to a softmax of n^2."""
    found = []
    for n in lengths:
        record = timed(variant, scale * n**power, seq_len=n, **fields)
        seconds = record.measurements["forward_s"]
        ratios = {"anchor_ratio": [s / n**2 for s in seconds]}
        found.append(dataclasses.replace(record, measurements={**record.measurements, **ratios}))
    return found


def failed(variant: str, status: Any, **axes: Any) -> Record:
    return make_record(make_spec(variant=variant, **axes), status=status, reason="because", measurements={"drift_anchor_s": [1e-3]})


SOFTMAX, ORTHOGONAL = curve("softmax", 1.0, 2.0), curve("orthogonal", 1000.0, 1.0)


def test_exponents_stand_beside_the_claimed_ones() -> None:
    records = [*curve("softmax", 1.0, 2.0, LONGER), *curve("orthogonal", 1000.0, 1.0, LONGER)]
    for what in ("time", "memory"):
        table = growth(frame(records), what).set_index("label")  # type: ignore[arg-type]
        for label, power in (("softmax", 2.0), ("orthogonal", 1.0)):
            row = table.loc[label]
            assert row.value == pytest.approx(power, abs=0.02) and row.low < power < row.high
            assert (row.sizes, row.smallest, row.largest) == (5, 256, 16384)
            assert row.why is None or row.why != row.why
        assert table.claimed.to_dict() == {"orthogonal": 1.0, "softmax": 2.0 if what == "time" else 1.0}


def test_the_slope_is_that_of_the_five_longest_sizes() -> None:
    """At short lengths the cost is constant."""
    records = [timed("orthogonal", max(1.0, n / 512), seq_len=n) for n in (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)]
    row = growth(frame(records), "time").iloc[0]
    assert row.value == pytest.approx(1.0, abs=0.03) and (row.smallest, row.largest) == (512, 8192)


def test_an_exponent_is_no_surer_than_processes_are() -> None:
    """Five lengths without noise on a straight line, each of one process: the slope's error is that of processes, 1.7 % at each."""
    exact = [timed("orthogonal", 1.0, seq_len=n, more={"forward_s": [1e-6 * n] * 9}) for n in LONGER[1:]]
    row = growth(frame(exact), "time").iloc[0]
    logs = [math.log(n) for n in LONGER[1:]]
    spread = sum((x - sum(logs) / 5) ** 2 for x in logs)
    assert row.high - row.value == pytest.approx(1.96 * 0.017 / math.sqrt(spread), rel=1e-3)


def test_fewer_than_five_sizes_give_no_exponent_and_count_only_numbers() -> None:
    table = growth(frame([*ORTHOGONAL, failed("orthogonal", "oom", seq_len=32768)]), "time").iloc[0]
    assert math.isnan(table.value) and (table.sizes, table.smallest, table.largest) == (4, 256, 16384)
    assert table.why == "4 of the 5 sizes that an exponent needs"
    alone = growth(frame([ORTHOGONAL[0], failed("polynomial", "oom", seq_len=256)]), "time")
    assert alone.value.isna().all() and alone.sizes.tolist() == [1, 0]


def test_lengths_at_which_a_gpu_only_launches_give_no_exponent() -> None:
    def on_gpu(n: int, kernels: float) -> Record:
        return timed("orthogonal", 1e-6 * n, seq_len=n, device="cuda", more={"forward_kernel_s": [kernels * 1e-6 * n] * 5})

    bound = [on_gpu(n, 0.9 if n > 512 else 0.4) for n in LONGER]
    row = growth(frame(bound), "time").iloc[0]
    assert math.isnan(row.value) and row.why == "3 of the 5 sizes that an exponent needs, 3 more are launch-bound"
    assert growth(frame([on_gpu(n, 0.9) for n in LONGER]), "time").value.notna().all()
    assert growth(frame(bound), "memory").value.notna().all()


def test_strangers_claim_nothing_and_nor_does_decoding() -> None:
    assert growth(frame(curve("somebodys", 1.0, 2.0)), "time").claimed.isna().all()
    decode = [make_record(make_spec(mode="decode", causal=True, seq_len=n), measurements={"decode_s": [1.0 * n] * 9}) for n in LENGTHS]
    assert growth(frame(decode), "time").claimed.isna().all()


@pytest.mark.parametrize("what", ["time", "memory"])
def test_the_planted_crossover_is_found(what: Any) -> None:
    row = crossovers(frame([*SOFTMAX, *ORTHOGONAL]), what).iloc[0]
    assert (row.label, row.baseline, row.found, row.smallest, row.largest) == ("orthogonal", "softmax", "crosses", 256, 16384)
    assert row.low <= 1000 <= row.high or row.value == pytest.approx(1000, rel=0.01)
    assert row.high < 1.2 * row.low


def test_there_is_no_crossover_out_of_range() -> None:
    cheap, dear = curve("linear_elu", 1.0, 1.0), curve("performer", 1e6, 1.0)
    found = crossovers(frame([*SOFTMAX, *cheap, *dear]), "time").set_index("label").found
    assert found.to_dict() == {"linear_elu": "always", "performer": "never"}


def test_a_baseline_that_failed_proves_nothing() -> None:
    """softmax_math ran out of memory at the two longest: what follows is not counted as a win."""
    math_ = [*curve("softmax_math", 0.5, 2.0, LENGTHS[:2]), *(failed("softmax_math", "oom", seq_len=n) for n in LENGTHS[2:])]
    table = crossovers(frame([*SOFTMAX, *ORTHOGONAL, *math_]), "time").set_index(["label", "baseline"])
    row = table.loc["orthogonal", "softmax_math"]
    assert (row.found, row.largest) == ("never", 1024)
    assert table.loc["orthogonal", "softmax"].found == "crosses"
    one = crossovers(frame([*SOFTMAX, ORTHOGONAL[0]]), "time").iloc[0]
    assert one.found is None or one.found != one.found


def test_crossovers_stay_within_a_machine() -> None:
    there = curve("orthogonal", 1000.0, 1.0, machine="other")
    assert len(crossovers(frame([*SOFTMAX, *there]), "time")) == 0


def test_disturbed_times_neither_grow_nor_cross() -> None:
    busy = curve("orthogonal", 1000.0, 1.0, LONGER, environment={"torch": "2.13.0", "other_load": 0.5})
    assert growth(frame(busy), "time").value.isna().all()
    assert growth(frame(busy), "memory").value.notna().all()
    assert crossovers(frame([*SOFTMAX, *busy]), "time").found.isna().all()


def test_where_the_speed_changed_ratios_cross_and_seconds_do_not_grow() -> None:
    changed = [
        dataclasses.replace(r, measurements={**r.measurements, "drift_anchor_s": [1e-3, 1e-3, 2e-3, 2e-3]})
        for r in curve("orthogonal", 1000.0, 1.0, LONGER)
    ]
    assert growth(frame(changed), "time").value.isna().all()
    (row,) = crossovers(frame([*SOFTMAX, *changed]), "time").itertuples()
    assert row.found == "crosses" and row.low <= 1000 <= row.high


def test_the_longest_length_within_a_budget() -> None:
    cut = [*ORTHOGONAL[:3], failed("orthogonal", "oom", seq_len=16384)]
    table = feasible(frame([*SOFTMAX, *cut]), "memory", 2e9).set_index("label")
    assert (table.loc["softmax"].longest, table.loc["softmax"].exceeded) == (1024, 4096)
    assert (table.loc["orthogonal"].longest, table.loc["orthogonal"].exceeded) == (1024, 4096)
    table = feasible(frame([*SOFTMAX, *cut]), "time", 1e9).set_index("label")
    assert table.loc["softmax"].longest == 16384 and math.isnan(table.loc["softmax"].exceeded)
    assert (table.loc["orthogonal"].longest, table.loc["orthogonal"].exceeded) == (4096, 16384)
    assert math.isnan(feasible(frame(SOFTMAX), "time", 1.0).longest[0])


def test_costs_do_not_grow_along_a_task() -> None:
    with pytest.raises(BadInput, match="unknown track 'task'"):
        growth(frame([]), "time", "task")


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
    records = scores(softmax=[0.9, 0.9, 0.9991, 0.9995], orthogonal=[0.8, 0.8, 0.9985, 0.9998])
    (found,) = task_ranks(frame(records))
    assert found.tasks == tuple(f"task{n} (embedded:00000000)" for n in range(3))
    assert found.left_out == ("task3 (embedded:00000000): all mechanisms are above 0.999, so that it orders nothing",)
    assert found.ranks == (1.0, 2.0)
    assert is_solved("accuracy", [0.9991, 1.0]) and not is_solved("accuracy", [0.999, 1.0]) and not is_solved("accuracy", [])
    assert not is_solved("bits_per_byte", [1.5, 2.0])  # of which fewer are better


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


def test_a_profile_counts_failures_and_leaves_out_what_was_not_run() -> None:
    slow = [*curve("softmax_math", 1.9, 2.0, LENGTHS[:3]), failed("softmax_math", "oom", seq_len=LENGTHS[3])]
    skipped = [*curve("nystrom", 1.0, 1.0, LENGTHS[:3]), failed("nystrom", "skipped", seq_len=LENGTHS[3])]
    rare = curve("performer", 1.0, 1.0, (99,))
    table = profile(frame([*SOFTMAX, *slow, *skipped, *rare]), "forward").set_index("label")
    assert list(table.index) == ["softmax", "softmax_math"] and set(table.lengths) == {4}
    assert table.loc["softmax"][[1.0, 100.0]].tolist() == [1.0, 1.0]
    assert table.loc["softmax_math"][[1.0, 1.5, 2.0, 100.0]].tolist() == [0.0, 0.0, 0.75, 0.75]


def test_a_length_skipped_for_want_of_memory_at_a_shorter_one_is_a_failure_too() -> None:
    ran_out = [*curve("softmax_math", 1.9, 2.0, LENGTHS[:2]), failed("softmax_math", "oom", seq_len=LENGTHS[2])]
    ran_out.append(failed("softmax_math", "skipped", seq_len=LENGTHS[3]))
    table = profile(frame([*SOFTMAX, *ran_out]), "forward").set_index("label")
    assert table.loc["softmax_math"][[1.0, 2.0, 100.0]].tolist() == [0.0, 0.5, 0.5]
    limits = feasible(frame(ran_out), "memory", 1e12).iloc[0]
    assert (limits.longest, limits.exceeded) == (LENGTHS[1], LENGTHS[2])


def test_what_was_not_there_limits_nothing() -> None:
    row = feasible(frame([failed("orthogonal", "unavailable", seq_len=128), *ORTHOGONAL]), "time", 1e12).iloc[0]
    assert row.longest == LENGTHS[-1] and math.isnan(row.exceeded)


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


def test_a_mechanism_some_of_whose_seeds_learned_is_on_the_frontier_by_its_median() -> None:
    scores = {"softmax": (0.9, 0.1, 0.88), "orthogonal": (0.8, 0.79, 0.81)}
    records = [learnt(name, seed, x) for name, of in scores.items() for seed, x in enumerate(of)]
    records = [dataclasses.replace(r, measurements={**r.measurements, "majority_share": [0.1]}) for r in records]
    assert frontiers(frame(records)).set_index("label").gain.to_dict() == pytest.approx({"softmax": 0.88, "orthogonal": 0.8})


def test_seeds_that_never_reach_the_target_are_counted_and_no_time_is_made_up() -> None:
    records = [learnt("softmax", seed, 0.9) for seed in range(3)]
    records = [
        dataclasses.replace(r, measurements={**r.measurements, "time_to_target_s": [4.0 + i]}) for i, r in enumerate(records[:2])
    ] + records[2:]
    (row,) = time_to_target(frame(records)).itertuples()
    assert (row.reached, row.seeds, row.value, row.low, row.high) == (2, 3, 4.5, 4.0, 5.0)
