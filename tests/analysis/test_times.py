"""What a time is published as: over softmax's own cells of its session, by turns where that cannot be, and what is said beside it."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attnbench.analysis.apart import apart
from attnbench.analysis.compare import compare
from attnbench.analysis.entries import Entry
from attnbench.analysis.frame import frame
from attnbench.analysis.ranking import ranking
from attnbench.analysis.scaling import feasible
from attnbench.analysis.settings import labels_of
from attnbench.analysis.standings import Standings
from attnbench.store.record import Record
from helpers.records import make_record, make_spec, timed

CHANGED = {"drift_anchor_s": [1e-3] * 3 + [2e-3] * 3}


def ranked(records: list[Record], track: str = "kernel") -> pd.DataFrame:
    return ranking(frame(records), "time", track).set_index("label")


def places(table: pd.DataFrame) -> dict[str, tuple[Any, Any]]:
    return {str(label): (row.rank_low, row.rank_high) for label, row in table.iterrows()}


def test_a_subject_that_slows_the_softmax_beside_it_gains_nothing() -> None:
    """Both take three seconds; beside the first softmax is four times as slow as in its own cell."""
    thrashing = timed("orthogonal", 3.0, more={"anchor_ratio": [0.75] * 25, "anchor_s": [4.0] * 25})
    table = ranked([timed("softmax", 1.0), thrashing, timed("polynomial", 3.0)])
    assert table.value["orthogonal"] == pytest.approx(table.value["polynomial"], rel=0.02)
    assert places(table) == {"softmax": (1, 1), "orthogonal": (2, 3), "polynomial": (2, 3)}
    assert table.loc["softmax"].value == table.loc["softmax"].low == table.loc["softmax"].high == 1


@pytest.mark.parametrize("seed", range(3))
def test_rows_are_in_the_order_of_their_own_seconds(seed: int) -> None:
    """Whatever the softmax beside each took."""
    chance = random.Random(seed)
    seconds = {name: chance.uniform(0.5, 5) for name in ("softmax", "a", "b", "c", "d", "e", "f")}
    records = [timed(name, x, more={"anchor_ratio": [x / chance.uniform(1, 3)] * 9}) for name, x in seconds.items()]
    assert list(ranked(records).index) == sorted(seconds, key=seconds.__getitem__)


def test_where_the_speed_changed_the_ratio_of_the_turns_ranks_and_the_seconds_do_not() -> None:
    drifting = timed("orthogonal", 9.0, more={**CHANGED, "anchor_ratio": [3.0] * 25})
    table = ranked([timed("softmax", 1.0), drifting, timed("polynomial", 2.0), timed("gated", 4.0)])
    row = table.loc["orthogonal"]
    assert row.value == pytest.approx(3) and math.isnan(row.seconds) and "2.00-fold while" in row.notes[0]
    assert places(table) == {"softmax": (1, 1), "polynomial": (2, 2), "orthogonal": (3, 3), "gated": (4, 4)}
    alone = timed("orthogonal", 9.0, measurements={"forward_s": [9.0] * 9, **CHANGED})
    assert "its seconds do not count" in ranked([timed("softmax", 1.0), alone]).loc["orthogonal"].why


def test_one_process_of_three_that_drifted_takes_no_part_in_the_seconds() -> None:
    records = [timed("orthogonal", x, seed=seed, more=more) for seed, (x, more) in enumerate(((3.0, {}), (3.0, {}), (6.0, CHANGED)))]
    row = ranked([*(timed("softmax", 1.0, seed=seed) for seed in range(3)), *records]).loc["orthogonal"]
    assert row.seconds == pytest.approx(3, rel=0.02) and row.value == pytest.approx(3, rel=0.03)
    assert row.records == 2 and row.notes[0].startswith("1 of 3 processes left out: the machine's speed changed 2.00-fold")


def test_a_process_of_another_session_counts_over_its_own_softmax_or_not_at_all() -> None:
    """The third process was measured again, at another commit, on a machine that was twice as fast, and five times as slow by its turns."""
    softmax = [timed("softmax", 1.0, seed=seed) for seed in range(3)]
    facts = {"torch": "2.13.0", "commit": "1" * 40}
    again = timed("orthogonal", 1.5, seed=2, session="z", environment=facts, more={"anchor_ratio": [15.0] * 25})
    records = [*softmax, *(timed("orthogonal", 3.0, seed=seed) for seed in range(2)), again]
    row = ranked(records).loc["orthogonal"]
    assert row.value == pytest.approx(3, rel=0.03) and row.records == 2
    assert row.notes == ("1 of 3 processes left out: its session has no cell of softmax here that counts",)
    assert row.apart == "1 of 3 processes of session z, commit 11111111"
    row = ranked([*records, timed("softmax", 0.5, seed=9, session="z", environment=facts)]).loc["orthogonal"]
    assert row.value == pytest.approx(3, rel=0.03) and row.records == 3 and row.notes == ()


WHY = "its definition takes 4e12 numbers"
FAILS = "the stack by definition, too, gives numbers that are not finite in float32"


@pytest.mark.parametrize("what", ["time", "memory"])
def test_what_was_not_compared_with_its_definition_has_no_rank(what: Any) -> None:
    def placed(said: str, timing: str = "settled") -> pd.Series[Any]:
        facts = {"torch": "2.13.0", "timing": timing}
        records = [timed("softmax", 1.0, environment=facts), timed("orthogonal", 0.5, environment={**facts, "not_compared": said})]
        return ranking(frame(records), what, "kernel").set_index("label").loc["orthogonal"]

    row = placed(WHY)
    assert math.isnan(row.rank_low) and row.why == f"its output was not compared with its definition: {WHY}"
    assert placed(FAILS).rank_low == 1 and placed(WHY, timing="").rank_low == 1
    assert placed(FAILS).notes == ((f"not compared: {FAILS}",) if what == "time" else ())


def test_what_was_not_compared_with_its_definition_stands_in_no_comparison_and_no_series() -> None:
    facts = {"torch": "2.13.0", "timing": "settled"}
    table = frame([timed("softmax", 1.0, environment=facts), timed("orthogonal", 0.5, environment={**facts, "not_compared": WHY})])
    (pair,) = compare(table, "softmax", "orthogonal").pairs
    assert pair.difference == "not compared" and WHY in pair.why
    for what, budget in (("time", 10.0), ("memory", 1e6)):
        assert feasible(table, what, budget).set_index("label").longest.notna().to_dict() == {"orthogonal": False, "softmax": True}


def test_a_softmax_that_was_not_compared_is_no_denominator() -> None:
    facts = {"torch": "2.13.0", "timing": "settled"}
    softmax = timed("softmax", 1.0, environment={**facts, "not_compared": WHY})
    row = ranked([softmax, timed("orthogonal", 3.0, environment=facts, more={"anchor_ratio": [5.0] * 25})]).loc["orthogonal"]
    assert row.value == pytest.approx(5) and "no cell of softmax" in row.notes[0]


def test_a_session_without_softmax_ranks_by_its_turns_and_says_so() -> None:
    """The machine was twice as fast that day."""
    other = timed("orthogonal", 1.5, session="other", more={"anchor_ratio": [3.0] * 25})
    row = ranked([timed("softmax", 1.0), timed("polynomial", 2.0), other]).loc["orthogonal"]
    assert row.value == pytest.approx(3) and "no cell of softmax" in row.notes[0] and row.apart == "of session other"
    softmax = timed("softmax", 0.5, session="other", seed=7)
    row = ranked([timed("softmax", 1.0), timed("polynomial", 2.0), other, softmax]).loc["orthogonal"]
    assert row.value == pytest.approx(3, rel=0.05) and not row.notes


def test_a_softmax_that_was_measured_again_still_serves_its_own_session() -> None:
    again = timed("softmax", 5.0, session="z", started_at="2027-01-01T00:00:00Z")
    table = ranked([timed("softmax", 1.0), timed("orthogonal", 3.0), again])
    assert table.loc["orthogonal"].value == pytest.approx(3, rel=0.03) and table.loc["softmax"].seconds == pytest.approx(5, rel=0.02)


def test_old_and_new_rules_of_timing_are_never_in_one_table() -> None:
    new = {"environment": {"torch": "2.13.0", "timing": "settled"}}
    records = [timed("softmax", 1.0), timed("orthogonal", 9.0), timed("softmax", 1.0, session="z", **new)]
    table = ranking(frame(records), "time", "kernel")
    assert table.groupby("timing", dropna=False).size().tolist() == [1, 2]
    depth = make_spec(track="depth", variant="softmax", block="residual", num_layers=2, seq_len=64, mode="training")
    both = [make_record(depth, session=name, measurements={"training_s": [1.0] * 5}, **of) for name, of in (("a", {}), ("b", new))]
    assert len(ranking(frame(both), "time", "depth")) == 2


def test_padded_and_unpadded_cells_are_never_in_one_table() -> None:
    padded = make_record(make_spec(variant="orthogonal", padded=0.3), measurements=timed("orthogonal", 1.0).measurements)
    assert ranking(frame([timed("softmax", 1.0), padded]), "time", "kernel").rank_high.tolist() == [1, 1]


def test_grouped_cells_and_others_are_never_in_one_table() -> None:
    """Nor do they stand in for each other's softmax."""
    grouped = [timed("softmax", 0.5, num_kv_heads=1), timed("orthogonal", 3.0, num_kv_heads=1)]
    table = ranking(frame([timed("softmax", 1.0), timed("orthogonal", 3.0), *grouped]), "time", "kernel")
    assert table.rank_high.tolist() == [1, 2, 1, 2]
    found = {(of.label, of.num_kv_heads == 1): of.value for of in table.itertuples()}
    assert found["orthogonal", False] == pytest.approx(3, rel=0.03) and found["orthogonal", True] == pytest.approx(6, rel=0.03)


def test_the_resolution_is_of_softmax_between_processes_and_over_cells() -> None:
    def resolution(*records: Record) -> Any:
        table = frame(records)
        return Standings(table, labels_of(table)).resolution(records[0])

    alone = resolution(timed("softmax", 1.0), timed("orthogonal", 3.0))
    assert alone.over_cells is None and alone.processes == 1 and 1.04 < alone.factor == alone.between < 1.06
    three = resolution(*(timed(name, 1.0, seed=seed) for name in ("softmax", "orthogonal") for seed in range(3)))
    assert three.processes == 3 and 1.02 < three.factor < alone.factor
    beside = [timed(name, 3.0, more={"anchor_s": [x] * 9}) for name, x in (("a", 1.3), ("b", 0.8), ("c", 1.25), ("d", 1.2))]
    spread = resolution(timed("softmax", 1.0), *beside)
    assert spread.factor == spread.over_cells and 1.4 < spread.factor < 1.7
    assert places(ranked([timed("softmax", 1.0), *beside, timed("e", 4.0)]))["e"] == (2, 6)  # a third dearer, and the table cannot show it
    without = resolution(*(timed(name, 1.0, seed=seed) for name in ("a", "b") for seed in range(3)))
    assert without.processes == 0 and without.between == pytest.approx(three.between, abs=0.005)
    assert resolution(make_record(make_spec(variant="softmax"), status="oom", reason="x", measurements={})) is None


@pytest.mark.parametrize("threads", [{}, {"threads": 8}])
def test_the_spread_between_processes_is_that_of_the_bench(threads: dict[str, int]) -> None:
    """Twenty lengths at which three processes differ by 6 %, on a bench whose threads are known and on one where they are not."""
    chance = random.Random(0)
    cells = [(name, n, seed) for name in ("softmax", "orthogonal") for n in range(64, 84) for seed in range(3)]
    facts = {"torch": "2.13.0", **threads}
    records = [timed(name, chance.lognormvariate(0, 0.06), seq_len=n, seed=seed, environment=facts) for name, n, seed in cells]
    table = frame(records)
    found = Standings(table, labels_of(table)).resolution(records[0])
    assert found is not None and 1.08 < found.between < 1.17  # 1.96 times 0.06 times the root of twice 0.449 is 0.11


def test_a_launch_bound_cell_says_so_by_its_kernels() -> None:
    def noted(kernels: float) -> tuple[str, ...]:
        return tuple(ranked([timed("softmax", 1.0, more={"forward_kernel_s": [kernels] * 9})]).loc["softmax"].notes)

    assert noted(0.6) == () and noted(0.4)[0].startswith("launch-bound: a call takes ") and "400" in noted(0.4)[0]


def test_memory_that_the_allocator_does_not_see_is_said() -> None:
    def noted(grew: float) -> tuple[str, ...]:
        record = timed("softmax", 1.0, more={"peak_memory_bytes": [100 * 2.0**20], "peak_rss_bytes": [grew * 2**20]})
        return tuple(ranking(frame([record]), "memory", "kernel").notes[0])

    assert noted(250.0) == () and noted(300.0)[0].startswith("outside torch's allocator: the process grew by 300")


def test_what_code_ran_on_the_device_is_said() -> None:
    record = timed("softmax", 1.0, environment={"torch": "2.13.0", "implementation": "reference"})
    table = frame([record])
    assert Standings(table, labels_of(table)).places("time", record)["softmax"].implementation == "reference"


def test_a_row_of_another_session_or_commit_says_so() -> None:
    entries = [Entry(name, name, sessions=list(of), commits=[c * 40 for c in commits]) for name, of, commits in (
        ("a", ("s",), ("1",)), ("b", ("s", "t"), ("1", "2")), ("c", ("t",), ("2",)), ("d", ("s",), ("3",)), ("e", ("u",), ("1",)),
    )]  # fmt: skip
    some = f"1 of 2 processes of session t, commit {'2' * 8}"
    assert apart(entries) == [None, some, f"of session t, commit {'2' * 8}", f"of commit {'3' * 8}", "of session u"]
    assert apart([Entry("a", "a", sessions=["s"], commits=[None])]) == [None]


@pytest.mark.parametrize("processes", [1, 3])
def test_in_simulated_sessions_with_drift_published_ratios_cover(processes: int) -> None:
    """Eight equal mechanisms at 60 lengths, on a machine whose speed wanders by a tenth, with the error of softmax's own cell.

    The rows of a table share their softmax, so that 60 independent errors are seen: 0.95 with an error of 0.03 at most.
    """
    chance = np.random.default_rng(processes)
    names = ["softmax", *(f"m{i}" for i in range(7))]
    cells = [(name, 100 + n, seed) for n in range(60) for name in names for seed in range(processes)]
    chance.shuffle(cells)
    speed = np.cumsum(0.004 * chance.standard_normal(len(cells)))
    records = []
    for number, ((name, length, seed), slower) in enumerate(zip(cells, speed.tolist(), strict=True)):
        effect = float(slower + 0.017 * chance.standard_normal())
        own, beside = (np.exp(effect + 0.02 * chance.standard_normal(8)) for _ in range(2))
        drift = 5e-3 * np.exp(slower + 0.03 * chance.standard_normal(6))
        more = {
            name: of.tolist()
            for name, of in (("forward_s", own), ("anchor_s", beside), ("anchor_ratio", own / beside), ("drift_anchor_s", drift))
        }
        started = f"2026-11-22T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z"
        records.append(timed(str(name), 1.0, seq_len=int(length), seed=int(seed), more=more, started_at=started))
    table = ranked(records).drop("softmax")
    print(
        ((table.low <= 1) & (table.high >= 1)).mean(),
        (table.rank_low == 1).mean(),
        (table.rank_high == 8).mean(),
        table.notes.map(len).mean(),
    )
    assert 0.90 <= ((table.low <= 1) & (table.high >= 1)).mean() <= 0.99
    assert (table.rank_low == 1).mean() >= 0.97 and (table.rank_high == 8).mean() >= 0.97
