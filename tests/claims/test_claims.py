"""Claims: every registered one on the records that ship, on data that are cut down until they say nothing, and on data that refute it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from attnbench import registry
from attnbench.analysis.frame import load
from attnbench.claim import Arm, Claim, measured
from attnbench.claims._judge import judge
from attnbench.cli.claims import show_claims
from attnbench.errors import BadInput
from helpers.paths import REPO

RESULTS = REPO / "results"
CLAIMS = registry.names("claims")
VERDICTS = {
    "orthogonal_conditions_depth": "reproduced",
    "orthogonal_is_linear": "reproduced",
    "orthogonal_stays_orthogonal": "reproduced",
    "orthogonal_trains_skipless": "inconclusive",
    "polynomial_matches_softmax": "not reproduced",
    "polynomial_norm_is_bounded": "reproduced",
    "softmax_loses_rank": "reproduced",
    "softmax_norm_is_bounded": "reproduced",
}


@pytest.fixture(scope="module")
def shipped() -> pd.DataFrame:
    table = load(RESULTS, curves=True)
    return table[(table["machine"] == "cloud-2core").to_numpy()]


def claim(name: str) -> Claim:
    return registry.load("claims", name)  # type: ignore[no-any-return]


def one_place(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Only the longest sequences, deepest stacks, or one of the tasks."""
    axis = claim(name).arms[0].axis
    kept = {"seq_len": 4096, "num_layers": 12, "task": "mnist"}[axis]
    return table[(table[axis] == kept).to_numpy()]


def scaled(table: pd.DataFrame, variant: str, metric: str, factor: Callable[[Any], float]) -> pd.DataFrame:
    """The samples of a metric of a variant multiplied by a factor, which may depend on the row."""
    table = table.copy()
    mine = (table["variant"] == variant).to_numpy() & table["metric"].str.fullmatch(metric, na=False).to_numpy()
    rows = table[mine]
    factors = [factor(row) for row in rows.itertuples()]
    samples = pd.Series([[x * f for x in of] for of, f in zip(rows["samples"], factors, strict=True)], index=rows.index, dtype=object)
    table.loc[mine, "samples"] = samples
    table.loc[mine, "value"] = rows["value"] * factors
    return table


def swapped(table: pd.DataFrame, one: str, other: str) -> pd.DataFrame:
    """Each of two variants with the numbers of the other."""
    names = {one: other, other: one}
    params = [{} if name in names else given for name, given in zip(table["variant"], table["params"], strict=True)]
    return table.assign(variant=table["variant"].map(lambda name: names.get(name, name)), params=params)


REFUTED: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "orthogonal_conditions_depth": lambda t: swapped(t, "orthogonal", "softmax"),
    "orthogonal_is_linear": lambda t: scaled(t, "orthogonal", "forward_s", lambda row: row.seq_len),
    "orthogonal_stays_orthogonal": lambda t: scaled(t, "orthogonal", "orthogonality_error", lambda row: 1e6 if row.seed == 1 else 1.0),
    "orthogonal_trains_skipless": lambda t: scaled(t, "orthogonal", "accuracy", lambda row: 0.3),
    "polynomial_matches_softmax": lambda t: t,
    "polynomial_norm_is_bounded": lambda t: scaled(t, "polynomial", "attention_frobenius", lambda row: row.seq_len),
    "softmax_loses_rank": lambda t: scaled(t, "softmax", "effective_rank", lambda row: row.num_layers),
    "softmax_norm_is_bounded": lambda t: scaled(t, "softmax", "attention_frobenius", lambda row: 100 if row.seed == 2 else 1.0),
}
CONFIRMED: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "polynomial_matches_softmax": lambda t: scaled(
        scaled(t, "softmax", "accuracy", lambda row: 0.5), "polynomial", "bits_per_byte", lambda row: 0.4
    ),
    "orthogonal_trains_skipless": lambda t: scaled(
        scaled(t, "orthogonal", "accuracy", lambda row: 1.12), "softmax", "accuracy", lambda row: 0.5 if row.block == "skipless" else 1.0
    ),
}


def test_every_claim_is_known_here() -> None:
    """A new claim needs its verdict on the shipped records, and data that refute it."""
    assert set(CLAIMS) == VERDICTS.keys() == REFUTED.keys()


def test_the_readmes_verdicts_are_those_of_the_records() -> None:
    rows = re.findall(r"^\| `(\w+)`: .* \| (\w[\w ]+) \|$", (REPO / "README.md").read_text(encoding="utf-8"), re.M)
    assert dict(rows) == VERDICTS


@pytest.mark.parametrize("name", CLAIMS)
def test_verdicts_on_the_shipped_records(shipped: pd.DataFrame, name: str) -> None:
    found = judge(claim(name), shipped)
    assert found.verdict == VERDICTS[name], found.why
    assert found.evidence and found.why
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
    rows = shipped[chosen(shipped, **where)]
    longer = {"seq_len": 2 * rows["seq_len"]} if name.endswith("linear") else {"num_layers": 24.0}
    failed = rows.drop_duplicates("id").assign(metric=None, value=float("nan"), samples=[[]] * rows["id"].nunique())
    table = added(shipped, failed, status="oom", id=failed["id"] + "+", cell=failed["id"] + "+", **longer)
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
    assert judge(claim(name), pd.concat([alike, *more])).verdict == judge(claim(name), alike).verdict == "inconclusive"


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
    rows = shipped[chosen(shipped, **SKIPLESS, variant="orthogonal", num_layers=12)]
    table = added(shipped, rows, num_layers=24.0, id=rows["id"] + "+", cell=rows["cell"] + "+")
    assert judge(claim("orthogonal_conditions_depth"), table).verdict == "reproduced"


def test_norms_of_zero_break_nothing(shipped: pd.DataFrame) -> None:
    zero = scaled(shipped, "polynomial", "attention_frobenius", lambda row: 0.0)
    assert judge(claim("polynomial_norm_is_bounded"), zero).verdict == "inconclusive"
    zero = scaled(shipped, "orthogonal", "curve.attention_frobenius_layer_1", lambda row: 0.001)
    assert judge(claim("orthogonal_stays_orthogonal"), zero).verdict == "not reproduced"


@pytest.mark.parametrize("name", ["orthogonal_is_linear", "softmax_loses_rank"])
def test_benches_that_disagree_are_inconclusive_and_never_mixed(shipped: pd.DataFrame, name: str) -> None:
    other = REFUTED[name](shipped).assign(machine="elsewhere")
    found = judge(claim(name), pd.concat([shipped, other]))
    assert found.verdict == "inconclusive" and found.why.startswith("Benches disagree.")
    halves = [shipped.assign(machine=["one" if seed == 0 else "two" for seed in shipped["seed"]])]
    assert judge(claim(name), pd.concat(halves)).verdict == "inconclusive"


@pytest.mark.parametrize("name", CLAIMS)
def test_the_order_of_rows_changes_nothing(shipped: pd.DataFrame, name: str) -> None:
    assert judge(claim(name), shipped.sample(frac=1, random_state=1)) == judge(claim(name), shipped)


def test_times_of_flagged_sessions_bear_on_no_claim(shipped: pd.DataFrame) -> None:
    flagged = shipped.assign(flagged="the machine's speed changed")
    assert judge(claim("orthogonal_is_linear"), flagged).verdict == "inconclusive"
    assert judge(claim("softmax_loses_rank"), flagged).verdict == "reproduced"
    kept = {metric: measured(flagged, "task", metric)["value"].notna().sum() for metric in ("train_s", "training_tokens_per_s")}
    assert kept["train_s"] == 0 and kept["training_tokens_per_s"] > 0, "a rate is no time"


@pytest.mark.parametrize("name", CLAIMS)
def test_what_failed_bears_on_no_claim(shipped: pd.DataFrame, name: str) -> None:
    assert judge(claim(name), shipped.assign(status="incorrect")).verdict == "inconclusive"


def test_an_arm_cannot_ask_for_less_than_three_seeds() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        Arm("softmax", "seq_len", places=1, seeds=1)


def test_a_query_that_leaves_out_a_column_is_told_so(shipped: pd.DataFrame) -> None:
    whole = claim("softmax_loses_rank")
    with pytest.raises(ValueError, match="gives no column arm"):
        judge(Claim(**{**vars(whole), "query": lambda table: whole.query(table).drop(columns="arm")}), shipped)


def shown(*names: str, as_json: bool = False, evidence: bool = False, results: Path = RESULTS) -> str:
    out = io.StringIO()
    show_claims(results, list(names), as_json, evidence, Console(file=out, width=120), Console(file=out))
    return out.getvalue()


def test_the_terminal_shows_verdicts_and_what_is_missing() -> None:
    text = shown()
    assert all(f"{verdict}  {name}" in text for name, verdict in VERDICTS.items())
    assert "6 reproduced, 1 not reproduced, 1 inconclusive" in text
    assert "attnbench run --preset claims" in text
    table = shown("softmax_loses_rank", evidence=True)
    assert "num_layers 12" in table and "orthogonal_is_linear" not in table


def test_programs_get_every_claim_with_its_evidence(capsys: pytest.CaptureFixture[str]) -> None:
    shown(as_json=True)
    found = json.loads(capsys.readouterr().out, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))
    assert {of["name"]: of["verdict"] for of in found} == VERDICTS
    assert all({"statement", "evidence", "rule", "citation", "why", "missing"} <= of.keys() for of in found)


def test_anyone_can_add_a_claim_in_one_file(tmp_path: Path) -> None:
    file = tmp_path / "my_claim.py"
    text = (Path(registry.__file__).parent / "claims" / "softmax_loses_rank.py").read_text(encoding="utf-8")
    file.write_text(text.replace("LOST = 0.5", "LOST = 0.01"), encoding="utf-8")
    assert "not reproduced  my_claim" in shown(str(file))
    file.with_name("no_claim.py").write_text("CLAIM = 3\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"must be an attnbench\.claim\.Claim"):
        shown(str(file.with_name("no_claim.py")))
    broken = tmp_path / "broken.py"
    broken.write_text(text.replace('rows["at"].min()', "1 / 0"), encoding="utf-8")
    assert "inconclusive  broken" in (said := shown(str(broken), "softmax_norm_is_bounded")) and "ZeroDivisionError" in said
    assert "reproduced  softmax_norm_is_bounded" in said
    with pytest.raises(BadInput, match="did you mean 'softmax_loses_rank'"):
        shown("softmax_looses_rank")
    with pytest.raises(BadInput, match="no results folder"):
        shown(results=tmp_path / "nothing")
