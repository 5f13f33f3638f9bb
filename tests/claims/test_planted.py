"""Every claim comes to every verdict, by data planted for it. What the shipped records say is a finding, and no test asks for it."""

from __future__ import annotations

from typing import get_args

import pandas as pd
import pytest

from attnbench import registry
from attnbench.claim import BENCH, Verdict, combined, join
from attnbench.claims._findings import ahead, differs, matches
from attnbench.claims._judge import judge
from attnbench.claims._runs import TWICE
from attnbench.spec.protocol import FIRST
from attnbench.stats import Difference
from helpers.claim_data import PLANTED, TRAINED, claim, table_of

CLAIMS = registry.builtin("claims")
PAIRS = [(name, verdict) for name in CLAIMS for verdict in get_args(Verdict)]


def test_every_claim_has_data_for_every_verdict() -> None:
    """A new claim needs planted data."""
    assert set(CLAIMS) == PLANTED.keys() and len(CLAIMS) >= 14
    assert all(set(of) == set(get_args(Verdict)) for of in PLANTED.values())


@pytest.mark.parametrize(("name", "verdict"), PAIRS)
def test_planted_data_give_their_verdict(name: str, verdict: str) -> None:
    found = judge(claim(name), table_of(name, verdict))
    assert found.verdict == verdict, found.why
    assert found.why and found.evidence and (found.missing == () or verdict == "inconclusive")
    assert all(row["low"] <= row["value"] <= row["high"] and row["cells"] for row in found.evidence)
    if verdict != "inconclusive":
        parts = {(row["bench"].get("part", ""), row["arm"]) for row in found.evidence if row["counted"]}
        assert parts == {(arm.part, arm.name) for arm in claim(name).arms}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_partly_so_where_one_bench_reproduces_it_and_another_does_not(name: str) -> None:
    other = table_of(name, "not reproduced").assign(device="cuda", gpu="a GPU")
    found = judge(claim(name), pd.concat([table_of(name, "reproduced"), other]))
    assert found.verdict == "partly" and "Benches disagree." in found.why
    assert {row["bench"]["device"] for row in found.evidence} == {"cpu", "cuda"} and set(BENCH) <= found.evidence[0]["bench"].keys()


@pytest.mark.parametrize("name", TRAINED)
def test_twice_the_budget_is_judged_apart(name: str) -> None:
    """Where it says the same the verdict stands, and where it says otherwise the claim is partly so."""
    table, other = table_of(name, "reproduced"), table_of(name, "not reproduced")
    assert judge(claim(name), join([table, twice(table)])).verdict == "reproduced"
    found = judge(claim(name), join([table, twice(other)]))
    assert found.verdict == "partly" and "twice the budget" in found.why
    assert {row["bench"]["budget"] for row in found.evidence} == {"", TWICE}


@pytest.mark.parametrize("name", TRAINED)
def test_runs_of_a_part_of_the_budget_count_for_nothing(name: str) -> None:
    table = table_of(name, "reproduced")
    assert judge(claim(name), join([table, twice(table_of(name, "not reproduced"), 0.5)])).verdict == "reproduced"


@pytest.mark.parametrize("name", ["polynomial_norm_in_training", "orthogonal_trains_skipless"])
def test_other_weight_decays_are_judged_apart(name: str) -> None:
    table, other = table_of(name, "reproduced"), table_of(name, "not reproduced")
    undecayed = other.assign(weight_decay=0.0, id=other["id"] + "x", cell=other["cell"] + "x")
    found = judge(claim(name), join([table, undecayed]))
    assert found.verdict == "partly" and "weight_decay 0" in found.why
    assert judge(claim(name), join([table, undecayed.assign(weight_decay=0.3)])).verdict == "reproduced"  # which the rule does not name


def twice(table: pd.DataFrame, share: float = 2.0) -> pd.DataFrame:
    """The training runs of a table with another share of the budget, at the rate that is tuned at the whole."""
    runs = table[(table["track"] == "task").to_numpy()]
    return runs.assign(tuned_epochs=runs["epochs"], epochs=share * runs["epochs"], id=runs["id"] + "x", cell=runs["cell"] + "x")


@pytest.mark.parametrize("name", TRAINED)
def test_only_runs_of_the_newest_protocol_with_all_seeds_count(name: str) -> None:
    table = table_of(name, "reproduced")
    trained = (table["track"] == "task").to_numpy()
    for less in (table.assign(protocol=table["protocol"].mask(trained, FIRST.name)), table[~(trained & (table["seed"] == 7).to_numpy())]):
        found = judge(claim(name), less)
        assert found.verdict == "inconclusive" and found.missing


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_says_what_it_rests_on(name: str) -> None:
    whole = claim(name)
    assert "arXiv" in whole.source and whole.paper == f"{whole.citation}, {whole.source}"
    assert whole.question == registry.summary("claims", name).startswith("Our question")
    assert (
        "%" in whole.power and "reproduced" in whole.rule.lower() and "partly" in whole.rule.lower()
    ) or name == "softmax_norm_is_bounded"


@pytest.mark.parametrize(
    ("lead", "found"),
    [
        (1.5, ("reproduced", "reproduced", "reproduced")),
        (0.5, ("reproduced", "partly", "partly")),
        (0.0, ("reproduced", "not reproduced", "not reproduced")),
        (-0.5, ("reproduced", "not reproduced", "partly")),
        (-1.0, ("inconclusive", "not reproduced", "partly")),
        (-1.5, ("not reproduced", "not reproduced", "reproduced")),
    ],
)
def test_rules_of_a_difference_by_hand(lead: float, found: tuple[Verdict, ...]) -> None:
    """With a standard error of 0.1 margins and many degrees of freedom, what is half a margin away is sure."""
    difference = Difference(lead, 0.01, 1e9)
    assert (matches(difference), ahead(difference), differs(difference)) == found
    assert {rule(Difference(lead, 100.0, 1e9)) for rule in (matches, ahead, differs)} == {"inconclusive"}


def test_verdicts_on_several_things_are_combined() -> None:
    yes, part, no, open_ = get_args(Verdict)
    assert [combined([one]) for one in get_args(Verdict)] == [combined([one, one]) for one in get_args(Verdict)] == [yes, part, no, open_]
    assert {combined(of) for of in ([yes, no], [no, yes, open_], [part, open_], [part, no], [yes, part])} == {part}
    assert {combined(of) for of in ([yes, open_], [no, open_])} == {open_}
