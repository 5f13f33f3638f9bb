"""The judge: on data that are cut down until they say nothing, and on made-up data that confirm or refute a claim.

What the records that ship say of a claim is a finding, and no test asks for it.
"""

from __future__ import annotations

from typing import Any, get_args

import pandas as pd
import pytest

from attnbench import registry
from attnbench.claim import Arm, Claim, Verdict
from attnbench.claims._judge import judge
from helpers.claim_data import CONFIRMED, REFUTED, claim, one_place, scaled, swapped

CLAIMS = registry.names("claims")


def test_every_claim_can_be_refuted() -> None:
    """A new claim needs data that refute it."""
    assert set(CLAIMS) == REFUTED.keys()


@pytest.mark.parametrize("name", CLAIMS)
def test_a_judgement_says_why_and_shows_the_numbers(shipped: pd.DataFrame, name: str) -> None:
    found = judge(claim(name), shipped)
    assert found.verdict in get_args(Verdict) and found.evidence and found.why
    assert all(
        row["low"] <= row["value"] <= row["high"] and row["cells"] and row["bench"]["machine"] == "cloud-2core" for row in found.evidence
    )
    assert {row["arm"] for row in found.evidence} == {arm.name for arm in claim(name).arms}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_without_data_is_inconclusive_and_says_what_is_missing(shipped: pd.DataFrame, name: str) -> None:
    found = judge(claim(name), shipped[:0])
    assert (found.verdict, found.evidence) == ("inconclusive", [])
    assert len(found.missing) == len(claim(name).arms)


@pytest.mark.parametrize("name", CLAIMS)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_claim_with_one_seed_is_inconclusive(shipped: pd.DataFrame, name: str, seed: int) -> None:
    found = judge(claim(name), shipped[(shipped["seed"] == seed).to_numpy()])
    assert found.verdict == "inconclusive" and found.missing


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_with_two_seeds_is_inconclusive(shipped: pd.DataFrame, name: str) -> None:
    assert judge(claim(name), shipped[(shipped["seed"] < 2).to_numpy()]).verdict == "inconclusive"


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_with_one_length_is_inconclusive(shipped: pd.DataFrame, name: str) -> None:
    found = judge(claim(name), one_place(shipped, name))
    assert found.verdict == "inconclusive" and found.missing


@pytest.mark.parametrize("name", CLAIMS)
def test_arms_of_different_threads_are_not_judged_together(shipped: pd.DataFrame, name: str) -> None:
    """As if every other seed had been measured with one thread: on neither bench there are enough."""
    apart = shipped.assign(threads=(shipped["seed"] % 2).to_numpy() + 1.0)
    found = judge(claim(name), apart)
    assert found.verdict == "inconclusive" and found.missing


@pytest.mark.parametrize(("name", "arm"), [(name, arm.name) for name in CLAIMS for arm in claim(name).arms])
def test_a_claim_without_one_of_its_arms_is_inconclusive(shipped: pd.DataFrame, name: str, arm: str) -> None:
    whole = claim(name)
    cut = Claim(**{**vars(whole), "query": lambda table: (rows := whole.query(table))[(rows["arm"] != arm).to_numpy()]})
    found = judge(cut, shipped)
    assert found.verdict == "inconclusive"
    assert any(arm in what for what in found.missing)


@pytest.mark.parametrize("name", CLAIMS)
def test_data_that_refute_a_claim_do(shipped: pd.DataFrame, name: str) -> None:
    found = judge(claim(name), REFUTED[name](shipped))
    assert found.verdict == "not reproduced", found.why


@pytest.mark.parametrize("name", CONFIRMED)
def test_data_that_confirm_a_claim_do(shipped: pd.DataFrame, name: str) -> None:
    found = judge(claim(name), CONFIRMED[name](shipped))
    assert found.verdict == "reproduced", found.why


def added(table: pd.DataFrame, rows: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    """The table, and some of its rows again as other records."""
    return pd.concat([table, rows.assign(**columns)], ignore_index=True)


def chosen(table: pd.DataFrame, **where: Any) -> Any:
    """Where a table has some values, as a mask."""
    mask = pd.Series(True, index=table.index)
    for name, value in where.items():
        mask &= table[name] == value
    return mask.to_numpy()


SKIPLESS = {"track": "depth", "block": "skipless"}
RESIDUAL = {"track": "task", "task": "mnist", "block": "residual"}


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("orthogonal_conditions_depth", {**SKIPLESS, "variant": "softmax"}),
        ("softmax_loses_rank", {**SKIPLESS, "variant": "softmax", "num_layers": 12}),
        ("orthogonal_trains_skipless", {**RESIDUAL, "variant": "softmax", "num_layers": 12}),
        ("polynomial_matches_softmax", {"track": "task", "variant": "softmax"}),
    ],
)
def test_seeds_that_two_arms_or_places_do_not_share_decide_nothing(shipped: pd.DataFrame, name: str, where: dict[str, Any]) -> None:
    """Three seeds each, and none of them in common."""
    apart = shipped.assign(seed=shipped["seed"] + 10 * chosen(shipped, **where))
    found = judge(claim(name), apart)
    assert found.verdict == "inconclusive" and found.missing


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("orthogonal_is_linear", {"track": "kernel", "variant": "orthogonal", "mode": "training", "seq_len": 8192}),
        ("orthogonal_conditions_depth", {**SKIPLESS, "variant": "orthogonal", "num_layers": 12}),
        ("softmax_loses_rank", {**SKIPLESS, "variant": "softmax", "num_layers": 12}),
    ],
)
def test_a_cell_that_failed_further_on_keeps_a_claim_from_being_reproduced(shipped: pd.DataFrame, name: str, where: dict[str, Any]) -> None:
    good = CONFIRMED[name](shipped)
    rows = good[chosen(good, **where)]
    longer = {"seq_len": 2 * rows["seq_len"]} if name.endswith("linear") else {"num_layers": 24.0}
    failed = rows.drop_duplicates("id").assign(metric=None, value=float("nan"), samples=[[]] * rows["id"].nunique())
    table = added(good, failed, status="oom", id=failed["id"] + "+", cell=failed["id"] + "+", **longer)
    found = judge(claim(name), table)
    assert found.verdict == "inconclusive" and any("oom at" in what for what in found.missing)
    if name == "orthogonal_is_linear":  # that softmax runs out of memory is nothing against it
        assert judge(claim(name), table.assign(variant=table["variant"].where(table["status"] != "oom", "softmax"))).verdict == "reproduced"


def test_a_task_that_one_of_two_failed_at_or_was_not_run_on_keeps_the_claim_open(shipped: pd.DataFrame) -> None:
    good = CONFIRMED["polynomial_matches_softmax"](shipped)
    mine = chosen(good, track="task", task="sotu_lm", variant="polynomial")
    for table in (good[~mine], good.assign(status=good["status"].mask(mine, "error")), good[~(mine & (good["seed"] == 1).to_numpy())]):
        found = judge(claim("polynomial_matches_softmax"), table)
        assert found.verdict == "inconclusive" and any("sotu_lm" in what for what in found.missing)


def test_the_same_seeds_in_other_shapes_or_recipes_are_no_new_evidence(shipped: pd.DataFrame) -> None:
    name = "polynomial_matches_softmax"
    alike = swapped(shipped, "polynomial", "softmax")
    more = [alike.assign(batch_size=size, id=alike["id"] + str(size), cell=alike["cell"] + str(size)) for size in (33, 34, 35)]
    assert judge(claim(name), pd.concat([alike, *more])).verdict == judge(claim(name), alike).verdict


def test_a_residual_model_that_learnt_nothing_decides_nothing(shipped: pd.DataFrame) -> None:
    flat = scaled(shipped, "softmax", "accuracy", lambda row: 0.106 if row.block == "residual" else 1.0)
    assert "nothing to keep" in judge(claim("orthogonal_trains_skipless"), flat).why


def test_one_lucky_run_on_another_grid_of_rates_changes_no_verdict(shipped: pd.DataFrame) -> None:
    name = "orthogonal_trains_skipless"
    table = REFUTED[name](shipped)
    own = table[chosen(table, task="mnist", variant="orthogonal", block="skipless", epochs=10, seed=0)]
    lucky = own.assign(value=0.99, samples=[[0.99]] * len(own), lr_grid="1 2", id=own["id"] + "+", cell=own["cell"] + "+")
    assert judge(claim(name), pd.concat([table, lucky])).verdict == "not reproduced"


def test_an_arm_alone_at_a_greater_depth_is_not_in_the_way(shipped: pd.DataFrame) -> None:
    good = CONFIRMED["orthogonal_conditions_depth"](shipped)
    rows = good[chosen(good, **SKIPLESS, variant="orthogonal", num_layers=12)]
    table = added(good, rows, num_layers=24.0, id=rows["id"] + "+", cell=rows["cell"] + "+")
    assert judge(claim("orthogonal_conditions_depth"), table).verdict == "reproduced"


def test_norms_of_zero_break_nothing(shipped: pd.DataFrame) -> None:
    zero = scaled(shipped, "polynomial", "attention_frobenius", lambda row: 0.0)
    assert judge(claim("polynomial_norm_is_bounded"), zero).verdict == "inconclusive"
    zero = scaled(shipped, "orthogonal", "curve.attention_frobenius_layer_1", lambda row: 0.001)
    assert judge(claim("orthogonal_stays_orthogonal"), zero).verdict == "not reproduced"


@pytest.mark.parametrize("name", ["orthogonal_is_linear", "softmax_loses_rank"])
def test_benches_that_disagree_are_inconclusive_and_never_mixed(shipped: pd.DataFrame, name: str) -> None:
    other = REFUTED[name](shipped).assign(machine="elsewhere")
    found = judge(claim(name), pd.concat([CONFIRMED[name](shipped), other]))
    assert found.verdict == "inconclusive" and found.why.startswith("Benches disagree.")
    halves = [shipped.assign(machine=["one" if seed == 0 else "two" for seed in shipped["seed"]])]
    assert judge(claim(name), pd.concat(halves)).verdict == "inconclusive"


@pytest.mark.parametrize("name", CLAIMS)
def test_the_order_of_rows_changes_nothing(shipped: pd.DataFrame, name: str) -> None:
    assert judge(claim(name), shipped.sample(frac=1, random_state=1)) == judge(claim(name), shipped)


def test_an_arm_cannot_ask_for_less_than_three_seeds() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        Arm("softmax", "seq_len", places=1, seeds=1)


def test_a_query_that_leaves_out_a_column_is_told_so(shipped: pd.DataFrame) -> None:
    whole = claim("softmax_loses_rank")
    with pytest.raises(ValueError, match="gives no column arm"):
        judge(Claim(**{**vars(whole), "query": lambda table: whole.query(table).drop(columns="arm")}), shipped)
