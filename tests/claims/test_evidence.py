"""Which measurements bear on a claim: no failures, no flagged times, no cells of a kind that it does not ask for."""

from __future__ import annotations

import pandas as pd
import pytest

from attnbench import registry
from attnbench.analysis.frame import frame
from attnbench.claim import measured
from attnbench.claims._judge import judge
from helpers.claim_data import CONFIRMED, REFUTED, claim, linear
from helpers.records import learnt, timed

CLAIMS = registry.names("claims")


def test_times_of_flagged_sessions_bear_on_no_claim(shipped: pd.DataFrame) -> None:
    flagged = CONFIRMED["softmax_loses_rank"](linear(shipped)).assign(flagged="the machine's speed changed")
    assert judge(claim("orthogonal_is_linear"), flagged).verdict == "inconclusive"
    assert judge(claim("softmax_loses_rank"), flagged).verdict == "reproduced"
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


def test_damped_cells_are_no_part_of_what_is_orthogonal(shipped: pd.DataFrame) -> None:
    """Theirs is another matrix, whatever its numbers are: beside the others, and alone, where nothing is left to judge."""
    name = "orthogonal_stays_orthogonal"
    mine = (shipped["variant"] == "orthogonal").to_numpy()
    own = REFUTED[name](shipped)[mine]
    other = own.assign(id=own["id"] + "+", cell=own["cell"] + "+")
    damped = other.assign(params=[{**given, "damping": 0.5} for given in own["params"]])
    alone = judge(claim(name), shipped[mine])
    assert judge(claim(name), pd.concat([shipped[mine], damped])) == alone != judge(claim(name), pd.concat([shipped[mine], other]))
    assert judge(claim(name), damped).verdict == "inconclusive"


@pytest.mark.parametrize("name", CLAIMS)
def test_what_failed_bears_on_no_claim(shipped: pd.DataFrame, name: str) -> None:
    assert judge(claim(name), shipped.assign(status="incorrect")).verdict == "inconclusive"


def test_times_by_the_old_and_the_new_rule_of_timing_are_judged_apart(shipped: pd.DataFrame) -> None:
    """The same cells, linear by the one and not by the other; a claim about something else takes the newest, whatever its rule."""
    old = CONFIRMED["orthogonal_is_linear"](shipped)
    new = REFUTED["orthogonal_is_linear"](shipped).assign(timing="settled", session="z", started_at="2027-01-01T00:00:00Z")
    found = judge(claim("orthogonal_is_linear"), pd.concat([old, new], ignore_index=True))
    assert found.verdict == "inconclusive" and "Benches disagree" in found.why
    depth = CONFIRMED["orthogonal_conditions_depth"](shipped)
    again = REFUTED["orthogonal_conditions_depth"](shipped).assign(timing="settled", session="z", started_at="2027-01-01T00:00:00Z")
    assert judge(claim("orthogonal_conditions_depth"), pd.concat([depth, again], ignore_index=True)).verdict == "not reproduced"
