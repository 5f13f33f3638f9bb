"""Which runs and tasks decide: those of the budget that the pilot chose, and those on which softmax has learnt and attention matters."""

from __future__ import annotations

import pandas as pd
import pytest

from attnbench import registry
from attnbench.claims._judge import judge
from attnbench.spec import budgets
from helpers.claim_data import claim, table_of
from helpers.claim_records import EPOCHS

CLAIMS = registry.builtin("claims")


def good(name: str) -> pd.DataFrame:
    return table_of(name, "reproduced")


def test_runs_of_another_budget_than_the_pilots_count_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever they show, and however long they are; nor does any run of a task without a chosen budget."""
    name = "sigmoid_matches_softmax"
    table, other = good(name), table_of(name, "not reproduced")
    for epochs in (4, 16):
        more = other.assign(epochs=epochs, id=other["id"] + "+", cell=other["cell"] + "+")
        assert judge(claim(name), pd.concat([table, more], ignore_index=True)).verdict == "reproduced"
        assert judge(claim(name), more).verdict == "inconclusive"
    monkeypatch.setattr(budgets, "CHOSEN", {})
    found = judge(claim(name), table)
    assert found.verdict == "inconclusive" and found.missing


@pytest.mark.parametrize("name", CLAIMS)
def test_a_query_that_finds_no_run_gives_the_same_columns(name: str) -> None:
    table = good(name)
    found = {tuple(sorted(claim(name).query(of).columns)) for of in (table, table[:0])}
    assert len(found) == 1


def test_a_run_of_which_the_norm_at_the_start_is_not_known_is_of_no_arm() -> None:
    name = "sigmoid_matches_softmax"
    table = good(name)
    unknown = table.assign(init_norm=table["init_norm"].mask((table["seed"] == 0).to_numpy()))
    assert set(claim(name).query(unknown)["seed"]) == set(table["seed"]) - {0}


def test_a_budget_is_that_of_a_difficulty_and_a_form(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "polynomial_trails_on_recall"
    assert {row["bench"]["causal"] for row in judge(claim(name), good(name)).evidence} == {False, True}
    monkeypatch.setattr(budgets, "CHOSEN", {"mqar": EPOCHS, "mqar, pairs 16, other form": EPOCHS})
    assert {row["bench"]["causal"] for row in judge(claim(name), good(name)).evidence} == {True}


FAMILY_CLAIMS = [name for name in CLAIMS if {"softmax", "identity", "uniform"} <= {arm.name for arm in claim(name).arms}]


def test_claims_about_families_of_tasks_have_the_controls() -> None:
    assert {name for name in CLAIMS if "_matches_" in name} | {"polynomial_on_byte_language", "initial_norm_matters"} == set(FAMILY_CLAIMS)


@pytest.mark.parametrize("name", FAMILY_CLAIMS)
def test_where_nobody_has_learnt_nothing_is_decided(name: str) -> None:
    """Of mechanisms that all know nothing, or have all diverged, none is as good as another."""
    table = good(name)
    scores = table["metric"].isin(["accuracy", "bits_per_byte"]).to_numpy()
    nothing = table["metric"].map({"accuracy": 0.1, "bits_per_byte": 4.0})
    lost = table.assign(
        value=table["value"].mask(scores, nothing), samples=[[0.1 if of == "accuracy" else 4.0] if score else own
        for of, score, own in zip(table["metric"], scores, table["samples"], strict=True)],
    )  # fmt: skip
    found = judge(claim(name), lost)
    assert found.verdict == "inconclusive" and "softmax has not learnt it" in found.why
    diverged = table[~scores].assign(value=lambda rows: rows["value"].mask(rows["metric"] == "diverged", 1.0))
    assert judge(claim(name), diverged).verdict == "inconclusive"


@pytest.mark.parametrize("control", ["identity", "uniform"])
def test_a_task_that_says_nothing_about_attention_does_not_count(control: str) -> None:
    """One of two leaves the mean of its family to the other, and where it is the only one nothing is decided."""

    def level(table: pd.DataFrame, tasks: list[str]) -> pd.DataFrame:
        """The records with a control that is as good as softmax on some tasks."""
        away = ((table["variant"] == control) & table["task"].isin(tasks)).to_numpy()
        alike = table[((table["variant"] == "softmax") & table["task"].isin(tasks)).to_numpy()]
        own = {name: alike[name] + "c" for name in ("id", "cell")}
        return pd.concat([table[~away], alike.assign(variant=control, **own)])

    name = "polynomial_matches_softmax_on_vision"
    table = good(name)
    one, both = (judge(claim(name), level(table, tasks)) for tasks in (["mnist"], ["mnist", "fashion_mnist"]))
    assert one.verdict == "reproduced" and f"mnist, patch 2 does not count: softmax is not surely ahead of {control}." in one.why
    assert both.verdict == "inconclusive"
