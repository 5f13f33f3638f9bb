"""The judge, by planted data that are cut down until they say nothing, or spoilt; see test_planted for the verdicts themselves."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attnbench import registry
from attnbench.analysis.frame import frame
from attnbench.claim import Arm, Claim
from attnbench.claims._judge import judge
from helpers.claim_data import claim, table_of
from helpers.claim_records import QUADRATIC, recalled, run, runs, skipless

CLAIMS = registry.builtin("claims")
LINEAR = ("linear_elu", "mamba2")


def good(name: str) -> pd.DataFrame:
    return table_of(name, "reproduced")


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_without_data_is_inconclusive_and_says_what_is_missing(name: str) -> None:
    found = judge(claim(name), good(name)[:0])
    assert (found.verdict, found.evidence) == ("inconclusive", [])
    assert len(found.missing) == len(claim(name).arms)


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_with_two_seeds_is_inconclusive(name: str) -> None:
    found = judge(claim(name), good(name)[(good(name)["seed"] < 2).to_numpy()])
    assert found.verdict == "inconclusive" and found.missing


@pytest.mark.parametrize("name", [name for name in CLAIMS if claim(name).arms[0].places > 1])
def test_a_claim_with_one_length_depth_or_task_is_inconclusive(name: str) -> None:
    axis = claim(name).arms[0].axis
    if axis == "length":  # which is a metric of its own
        one = good(name)[(good(name)["metric"] != "bits_per_byte_at_4x").to_numpy()]
    else:
        kept = good(name)[axis].dropna().iloc[-1]
        one = good(name)[(good(name)[axis] == kept).to_numpy()]
    found = judge(claim(name), one)
    assert found.verdict == "inconclusive" and found.missing


@pytest.mark.parametrize("name", CLAIMS)
def test_arms_of_different_threads_are_not_judged_together(name: str) -> None:
    """As if every other seed had been measured with one thread: on neither bench there are enough."""
    found = judge(claim(name), good(name).assign(threads=(good(name)["seed"] % 2).to_numpy() + 1.0))
    assert found.verdict == "inconclusive" and found.missing


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_without_one_of_its_arms_is_inconclusive(name: str) -> None:
    whole = claim(name)
    rows = whole.query(good(name))
    for arm in whole.arms:
        own = (rows["arm"] == arm.name).to_numpy()
        without = rows[~(own & (rows["part"] == arm.part).to_numpy() if arm.part else own)]
        found = judge(Claim(**{**vars(whole), "query": lambda table, without=without: without}), good(name))
        assert found.verdict == "inconclusive"
        assert any(arm.name in what for what in found.missing)


@pytest.mark.parametrize("name", CLAIMS)
def test_the_order_of_rows_changes_nothing(name: str) -> None:
    assert judge(claim(name), good(name).sample(frac=1, random_state=1)) == judge(claim(name), good(name))


@pytest.mark.parametrize("name", CLAIMS)
def test_what_failed_bears_on_no_claim(name: str) -> None:
    assert judge(claim(name), good(name).assign(status="incorrect")).verdict == "inconclusive"


def added(table: pd.DataFrame, rows: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    """The table, and some of its rows again as other records."""
    return pd.concat([table, rows.assign(id=rows["id"] + "+", cell=rows["cell"] + "+", **columns)], ignore_index=True)


def chosen(table: pd.DataFrame, **where: Any) -> Any:
    """Where a table has some values, as a mask."""
    mask = pd.Series(True, index=table.index)
    for name, value in where.items():
        mask &= table[name] == value
    return mask.to_numpy()


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("orthogonal_conditions_depth", {"variant": "softmax"}),
        ("softmax_loses_rank", {"num_layers": 12}),
        ("orthogonal_trains_skipless", {"variant": "softmax", "num_layers": 12}),
        ("sigmoid_matches_softmax", {"variant": "softmax"}),
    ],
)
def test_seeds_that_two_arms_or_places_do_not_share_decide_nothing(name: str, where: dict[str, Any]) -> None:
    table = good(name)
    found = judge(claim(name), table.assign(seed=table["seed"] + 10 * chosen(table, **where)))
    assert found.verdict == "inconclusive" and found.missing


@pytest.mark.parametrize(
    ("name", "where", "further"),
    [
        ("orthogonal_is_linear", {"variant": "orthogonal", "mode": "training", "seq_len": 4096}, {"seq_len": 8192}),
        ("orthogonal_conditions_depth", {"variant": "orthogonal", "num_layers": 12}, {"num_layers": 24.0}),
        ("softmax_loses_rank", {"num_layers": 12}, {"num_layers": 24.0}),
    ],
)
def test_a_failure_further_on_keeps_a_claim_from_being_reproduced(name: str, where: dict[str, Any], further: dict[str, Any]) -> None:
    table = good(name)
    rows = table[chosen(table, **where)].drop_duplicates("id")
    failed = rows.assign(metric=None, value=float("nan"), samples=[[]] * len(rows))
    table = added(table, failed, status="oom", **further)
    found = judge(claim(name), table)
    assert found.verdict == "inconclusive" and any("oom at" in what for what in found.missing)
    if name == "orthogonal_is_linear":  # that softmax runs out of memory is nothing against it
        assert judge(claim(name), table.assign(variant=table["variant"].where(table["status"] != "oom", "softmax"))).verdict == "reproduced"


def test_an_arm_alone_at_a_greater_depth_is_not_in_the_way() -> None:
    table = good("orthogonal_conditions_depth")
    rows = table[chosen(table, variant="orthogonal", num_layers=12)]
    assert judge(claim("orthogonal_conditions_depth"), added(table, rows, num_layers=24.0)).verdict == "reproduced"


def test_a_part_that_is_missing_keeps_a_claim_open() -> None:
    """Whatever the other families say: sigmoid was not run on language."""
    for verdict in ("reproduced", "not reproduced"):
        table = table_of("sigmoid_matches_softmax", verdict)
        found = judge(claim("sigmoid_matches_softmax"), table[~chosen(table, task="sotu_mlm")])
        assert found.verdict == "inconclusive" and any("sigmoid" in what for what in found.missing)


def test_a_run_that_diverged_has_learnt_nothing_and_counts() -> None:
    """Of bits per byte it has no number; one of eight is enough to be behind by far, and to leave it open how far."""
    name = "polynomial_on_byte_language"
    table = good(name)
    lost = frame([run("polynomial", "sotu_mlm", 3, None)], curves=True)
    own = chosen(table, variant="polynomial", seed=3) & np.array([not params for params in table["params"]])
    found = judge(claim(name), pd.concat([table[~own], lost]))
    row = next(row for row in found.evidence if row["arm"] == "x³/√N")
    assert (row["seeds"], row["high"]) == (8, 4.0) and found.verdict == "inconclusive"


def test_what_was_stored_of_a_run_that_diverged_counts_for_nothing() -> None:
    """Neither its number nor its blocks: in each it has learnt nothing."""
    name = "polynomial_on_byte_language"
    scores = {"softmax": 2.0, "polynomial": 2.0, "identity": 3.0, "uniform": 3.0}
    given = [
        run(variant, "sotu_mlm", seed, bits, {"bits_per_byte_by_block": [bits, bits], "asked_by_block": [2.0, 2.0]}, params=params)
        for variant, bits in scores.items()
        for params in ([{}, QUADRATIC] if variant == "polynomial" else [{}])
        for seed in range(8)
    ]
    assert judge(claim(name), frame(given, curves=True)).verdict == "reproduced"
    lost = {"diverged": [1.0], "bits_per_byte": [1.0]}
    spoilt = [
        dataclasses.replace(record, measurements={**record.measurements, **lost}) if record.spec.variant == "polynomial" else record
        for record in given
    ]
    found = judge(claim(name), frame(spoilt, curves=True))
    assert found.verdict == "not reproduced" and {row["value"] for row in found.evidence if row["arm"] == "x³/√N"} == {4.0}


def test_blocks_of_test_rows_widen_an_interval() -> None:
    """Two mechanisms that are apart by seeds alone, but each on other rows of the test part, are no more surely so on other rows."""

    def made(blocks: tuple[tuple[float, ...], tuple[float, ...]] | None) -> pd.DataFrame:
        records = []
        for seed, place in itertools.product(range(8), range(2)):
            noise = 0.001 * seed
            more = {} if blocks is None else {"accuracy_by_block": [x + noise for x in blocks[place]], "asked_by_block": [100.0] * 4}
            axes = {"block": "skipless", "num_layers": 12, "task_params": None, "params": {"damping": 1.0} if place else {}}
            records.append(run("orthogonal_cayley", "mnist", seed, (0.62, 0.60)[place] + noise, more, **axes))
        return frame(records, curves=True)

    name = "damping_hurts_depth"
    assert judge(claim(name), made(None)).verdict == "reproduced"
    apart = (0.82, 0.42, 0.82, 0.42), (0.40, 0.80, 0.40, 0.80)
    assert judge(claim(name), made(apart)).verdict == "inconclusive"
    alike = (0.82, 0.42, 0.82, 0.42), (0.80, 0.40, 0.80, 0.40)
    assert judge(claim(name), made(alike)).verdict == "reproduced"


def test_a_residual_model_that_learnt_nothing_decides_nothing() -> None:
    table = good("orthogonal_trains_skipless")
    flat = table.assign(value=table["value"].mask(chosen(table, block="residual", metric="accuracy"), 0.11))
    assert "nothing to keep" in judge(claim("orthogonal_trains_skipless"), flat).why


def test_softmax_that_trains_skipless_too_leaves_the_claim_partly_so() -> None:
    found = judge(claim("orthogonal_trains_skipless"), frame(list(skipless(0.88, 0.88))))
    assert found.verdict == "partly", found.why


def test_recall_in_one_form_only_is_partly_so_where_both_are_asked() -> None:
    both = ("polynomial", "quadratic", (False, True))
    table = frame([record for record in recalled(*both, 0.3, 0.3) if not record.spec.causal])
    causal = frame([record for record in recalled(*both, -0.1, -0.1, softmax=0.8) if record.spec.causal])
    assert judge(claim("polynomial_trails_on_recall"), pd.concat([table, causal])).verdict == "partly"
    weak = frame(list(recalled(*both, 0.05, 0.05, softmax=0.2)))
    assert "does not reach" in judge(claim("polynomial_trails_on_recall"), weak).why


def test_a_form_of_which_the_paper_does_not_speak_has_no_vote() -> None:
    causal, other = (frame(list(recalled(*LINEAR, [of], by, by))) for of, by in ((True, 0.3), (False, 0.0)))
    found = judge(claim("linear_attention_trails_on_recall"), pd.concat([causal, other]))
    assert found.verdict == "reproduced" and {row["bench"]["causal"] for row in found.evidence} == {True}


def test_a_run_that_was_not_tuned_or_tuned_otherwise_is_no_evidence() -> None:
    name = "damping_hurts_depth"
    lucky = frame(list(runs("orthogonal_cayley", "mnist", 0.5, block="skipless", num_layers=12, task_params=None, lr_grid=None)))
    other = added(good(name), lucky)
    assert judge(claim(name), other).evidence == judge(claim(name), good(name)).evidence


def test_norms_of_zero_break_nothing() -> None:
    table = good("polynomial_norm_is_bounded")
    zero = table.assign(samples=[[0.0] * len(of) for of in table["samples"]], value=0.0)
    assert judge(claim("polynomial_norm_is_bounded"), zero).verdict == "inconclusive"


def test_benches_are_never_mixed() -> None:
    table = good("softmax_loses_rank")
    halves = table.assign(machine=["one" if seed == 0 else "two" for seed in table["seed"]])
    assert judge(claim("softmax_loses_rank"), halves).verdict == "inconclusive"


def test_an_arm_cannot_ask_for_less_than_three_seeds() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        Arm("softmax", "seq_len", places=1, seeds=1)


def test_a_query_that_leaves_out_a_column_is_told_so() -> None:
    for name, column in (("softmax_loses_rank", "arm"), ("sigmoid_matches_softmax", "part")):
        whole = claim(name)
        with pytest.raises(ValueError, match=f"gives no column {column}"):
            judge(
                Claim(**{**vars(whole), "query": lambda table, of=whole, column=column: of.query(table).drop(columns=column)}), good(name)
            )
