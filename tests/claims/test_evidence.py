"""Which measurements bear on a claim: no failures, no flagged times, no cells of a kind that it does not ask for."""

from __future__ import annotations

import pandas as pd
import pytest

from attnbench.analysis.frame import frame
from attnbench.claim import measured
from attnbench.claims._judge import judge
from helpers.claim_data import claim, table_of
from helpers.records import learnt, timed

RANK = "softmax_loses_rank"


def test_times_of_flagged_sessions_bear_on_no_claim() -> None:
    linear, rank = (table_of(name, "reproduced").assign(flagged="the machine's speed changed") for name in ("orthogonal_is_linear", RANK))
    assert judge(claim("orthogonal_is_linear"), linear).verdict == "inconclusive"
    assert judge(claim(RANK), rank).verdict == "reproduced"
    flagged = frame([learnt("softmax", 0, 0.5, measurements={"train_s": [1.0], "training_tokens_per_s": [2.0]})]).assign(flagged="so")
    kept = {metric: measured(flagged, "task", metric)["value"].notna().sum() for metric in ("train_s", "training_tokens_per_s")}
    assert kept["train_s"] == 0 and kept["training_tokens_per_s"] > 0, "a rate is no time"


@pytest.mark.parametrize(("axis", "other"), [("num_kv_heads", 2), ("padded", 0.25)])
def test_a_cell_of_another_kind_bears_on_no_claim_that_does_not_ask_for_it(axis: str, other: object) -> None:
    table = frame([timed("softmax", 1.0), timed("softmax", 2.0, **{axis: other})])
    assert measured(table, "kernel", "forward_s", label="softmax")["value"].round().tolist() == [1.0]
    assert measured(table, "kernel", "forward_s", **{axis: other})["value"].round().tolist() == [2.0]


@pytest.mark.parametrize(("axis", "other"), [("token_shift", True), ("init_norm", 0.5)])
def test_a_model_with_an_option_bears_on_no_claim_that_does_not_ask_for_it(axis: str, other: object) -> None:
    table = frame([learnt("softmax", seed, 0.5 + on / 4, **{axis: other} if on else {}) for seed in range(3) for on in (False, True)])
    assert measured(table, "task", "accuracy", label="softmax")["value"].tolist() == [0.5] * 3
    assert measured(table, "task", "accuracy", **{axis: other})["value"].tolist() == [0.75] * 3


def test_damped_cells_are_no_part_of_what_is_orthogonal() -> None:
    """Theirs is another matrix, whatever its numbers are: beside the others, and alone, where nothing is left to judge."""
    name = "orthogonal_stays_orthogonal"
    mine, own = table_of(name, "reproduced"), table_of(name, "not reproduced")
    other = own.assign(id=own["id"] + "+", cell=own["cell"] + "+", session="z")
    damped = other.assign(params=[{**given, "damping": 0.5} for given in own["params"]])
    alone = judge(claim(name), mine)
    assert judge(claim(name), pd.concat([mine, damped])) == alone != judge(claim(name), pd.concat([mine, other]))
    assert judge(claim(name), damped).verdict == "inconclusive"


def test_times_by_the_old_and_the_new_rule_of_timing_are_judged_apart() -> None:
    """The same cells, linear by the one and not by the other; a claim about something else takes the newest, whatever its rule."""
    later = {"timing": "settled", "session": "z", "started_at": "2027-01-01T00:00:00Z"}
    name = "orthogonal_is_linear"
    both = pd.concat([table_of(name, "reproduced"), table_of(name, "not reproduced").assign(**later)], ignore_index=True)
    assert judge(claim(name), both).verdict == "partly"
    name = "orthogonal_conditions_depth"
    both = pd.concat([table_of(name, "reproduced"), table_of(name, "not reproduced").assign(**later)], ignore_index=True)
    assert judge(claim(name), both).verdict == "not reproduced"
