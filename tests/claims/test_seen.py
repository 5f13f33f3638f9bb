"""What had been seen of the cells on which a verdict rests: a verdict is exploratory where the rule changed after any of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pandas as pd
import pytest

from attnbench.analysis.frame import frame
from attnbench.analysis.settings import TUNED
from attnbench.claim import Arm, Claim, measured
from attnbench.claims._judge import judge
from attnbench.claims._seen import Seen, seen
from attnbench.spec.protocol import FIRST, NEWEST
from helpers.claim_data import claim, table_of
from helpers.claim_records import run
from helpers.rule_repository import FILES, RuleRepository

DEPTH = "orthogonal_conditions_depth"
UNKNOWN = "d" * 40
ARMS = ("softmax", "polynomial")
TRIAL: dict[str, Any] = {"seed": 1000, "lr": 1e-2, "lr_grid": None, "evaluate": "validation"}


def by(table: pd.DataFrame, commit: str, session: str = "20261201T000000Z-abcdef", **columns: Any) -> pd.DataFrame:
    """The table as a run of a commit measured it, in a session of its own."""
    return table.assign(attnbench_commit=commit, session=session, started_at=f"2026-{session[4:6]}-01T00:00:00Z", **columns)


def joined(*tables: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True)


def trained_claim() -> Claim:
    """A made-up claim about what two mechanisms learn, which any numbers reproduce."""

    def query(table: pd.DataFrame) -> pd.DataFrame:
        rows = measured(table, "task", "accuracy", protocol=NEWEST.name, rate=TUNED, label=ARMS)
        return rows.assign(arm=rows["label"], at=rows["task"])

    arms = tuple(Arm(name, "task", places=1) for name in ARMS)
    return Claim(
        **{**vars(claim(DEPTH)), "arms": arms, "query": query, "decide": lambda rows: ("reproduced", "so it is"), "apart": ("epochs",)}
    )


def runs_of(variant: str, seeds: range = range(3), **axes: Any) -> pd.DataFrame:
    return frame([run(variant, "mnist", axes.pop("seed", seed), 0.8, **axes) for seed in seeds], curves=True)


def trained() -> pd.DataFrame:
    return joined(*map(runs_of, ARMS))


def changed(repository: RuleRepository, name: str = "claims/mine.py") -> tuple[str, str]:
    """Two commits, between which a file of the rule was changed."""
    return repository.commit(FILES), repository.commit({name: f"{FILES[name]}MOVED = 1\n"})


@pytest.mark.parametrize("name", ["claims/mine.py", "claims/_judge.py", "claim.py"])
def test_data_that_were_seen_before_the_rule_changed_and_measured_again_are_exploratory(repository: RuleRepository, name: str) -> None:
    first, later = changed(repository, name)
    table = table_of(DEPTH, "reproduced")
    old, new = by(table, first, "20261101T000000Z-abcdef"), by(table, later)
    assert judge(claim(DEPTH), new, repository.mine).standing == "confirmatory"
    found = judge(claim(DEPTH), joined(old, new), repository.mine)
    assert (found.verdict, found.standing) == ("reproduced", "exploratory")
    assert f"{name} had another text at commit {first[:7]}, which measured a record." in found.standing_why
    assert judge(claim(DEPTH), joined(by(table, later, "20261101T000000Z-abcdef"), new), repository.mine).standing == "confirmatory"


def test_one_old_record_of_other_sources_and_another_machine_is_enough(repository: RuleRepository) -> None:
    first, later = changed(repository)
    table = table_of(DEPTH, "reproduced")
    one = table[(table["id"] == table["id"].iloc[0]).to_numpy()].assign(fingerprint="e" * 16, machine="lab", torch="2.0.0", dirty=0.0)
    assert judge(claim(DEPTH), joined(by(table, later), by(one, first)), repository.mine).standing == "exploratory"
    for status, standing in (("oom", "exploratory"), ("skipped", "confirmatory"), ("unavailable", "confirmatory")):
        failed = one.assign(status=status, metric=None, value=float("nan"))
        assert judge(claim(DEPTH), joined(by(table, later), by(failed, first)), repository.mine).standing == standing


def test_a_seed_that_does_not_count_was_seen_too_but_no_other_mechanism(repository: RuleRepository) -> None:
    first, later = changed(repository)
    table = by(table_of(DEPTH, "reproduced"), later)
    extra = table[((table["variant"] == "softmax") & (table["seed"] == 0)).to_numpy()].assign(attnbench_commit=first)
    extra = extra.assign(id=extra["id"] + "+", cell=extra["cell"] + "+")
    found = judge(claim(DEPTH), joined(table, extra.assign(seed=7)), repository.mine)
    assert (found.verdict, found.standing) == ("reproduced", "exploratory") and "another seed" in found.standing_why
    assert judge(claim(DEPTH), joined(table, extra.assign(variant="sigmoid")), repository.mine).standing == "confirmatory"
    assert judge(claim(DEPTH), joined(table, extra.assign(track="kernel")), repository.mine).standing == "confirmatory"


def test_records_of_changed_code_and_files_that_are_not_known_show_nothing(repository: RuleRepository) -> None:
    table = table_of(DEPTH, "reproduced").assign(attnbench_commit=repository.commit(FILES))
    assert judge(claim(DEPTH), table, repository.mine).standing == "confirmatory"
    assert judge(claim(DEPTH), table).standing == "exploratory"
    found = judge(claim(DEPTH), table.assign(dirty=(table["seed"] == 1).to_numpy()), repository.mine)
    assert (found.verdict, found.standing) == ("reproduced", "exploratory") and "may differ" in found.standing_why
    assert judge(claim(DEPTH), table[:0], repository.mine).standing_why.startswith("No record counts yet")


@pytest.mark.parametrize(
    "axes",
    [TRIAL, {"epochs": 16}, {"epochs": 16, "tuned_epochs": 8}, {"seed": 11}, {**TRIAL, "epochs": 4}],
)
def test_a_trial_or_another_budget_that_was_seen_before_the_rule_changed_counts(repository: RuleRepository, axes: dict[str, Any]) -> None:
    first, later = changed(repository)
    mine = trained_claim()
    assert judge(mine, by(trained(), later), repository.mine).standing == "confirmatory"
    early = by(runs_of("polynomial", range(1), **axes), first)
    found = judge(mine, joined(by(trained(), later), early), repository.mine)
    assert (found.verdict, found.standing) == ("reproduced", "exploratory")
    assert "which measured another seed, budget or trial of what counts." in found.standing_why
    assert judge(mine, joined(by(trained(), later), early.assign(attnbench_commit=later)), repository.mine).standing == "confirmatory"


def test_the_pilot_of_softmax_shows_no_comparison(repository: RuleRepository) -> None:
    """It has to be run before anything else; what it shows of softmax itself counts for a claim about softmax alone."""
    first, later = changed(repository)
    pilot = by(runs_of("softmax", range(1), **{**TRIAL, "epochs": 4}), first)
    assert judge(trained_claim(), joined(by(trained(), later), pilot), repository.mine).standing == "confirmatory"
    run_of_it = by(runs_of("softmax", range(1), epochs=4, seed=11), first)
    assert judge(trained_claim(), joined(by(trained(), later), run_of_it), repository.mine).standing == "exploratory"
    alone = dataclasses.replace(trained_claim(), arms=trained_claim().arms[:1])
    only = by(runs_of("softmax"), later)
    assert judge(alone, only, repository.mine).standing == "confirmatory"
    assert judge(alone, joined(only, pilot), repository.mine).standing == "exploratory"


@pytest.mark.parametrize(
    "axes",
    [{"params": {"degree": 2}}, {"weight_decay": 0.0}, {"init_norm": 0.5}, {"num_layers": 6}, {"protocol": FIRST.name}, {"causal": True}],
)
def test_a_trial_of_another_arm_or_protocol_shows_nothing(repository: RuleRepository, axes: dict[str, Any]) -> None:
    first, later = changed(repository)
    early = by(runs_of("polynomial", range(1), **TRIAL, **axes), first)
    assert judge(trained_claim(), joined(by(trained(), later), early), repository.mine).standing == "confirmatory"


def test_parameters_that_are_the_defaults_make_no_other_mechanism() -> None:
    """asv and older records leave them out."""
    table = by(runs_of("polynomial", range(1)), UNKNOWN)
    spelt = by(runs_of("polynomial", range(1), params={"degree": 3}, epochs=4), "e" * 40)
    assert {record.commit for record in seen(joined(table, spelt), set(table["id"]))} == {UNKNOWN, "e" * 40}


def test_a_trial_of_runs_that_are_tested_at_other_lengths_too_is_one_of_theirs() -> None:
    table = by(runs_of("polynomial", range(1), positions="none", test_seq_len=128), UNKNOWN)
    trial = by(runs_of("polynomial", range(1), positions="none", **TRIAL), "e" * 40)
    assert {record.commit for record in seen(joined(table, trial), set(table["id"]))} == {UNKNOWN, "e" * 40}


def test_the_protocol_of_a_run_is_compared_by_its_fingerprint(repository: RuleRepository) -> None:
    first = repository.commit(FILES)
    table = by(trained(), first)
    assert set(table["protocol_fingerprint"]) == {NEWEST.fingerprint()}
    one = (table["seed"] == 1).to_numpy()
    for other, said in (("00000000", "in another form, 00000000"), (None, "does not say")):
        told = table["protocol_fingerprint"].mask(one, other)
        found = judge(trained_claim(), table.assign(protocol_fingerprint=told), repository.mine)
        assert found.standing == "exploratory" and said in found.standing_why
    timed = by(table_of(DEPTH, "reproduced"), first)
    assert timed["protocol_fingerprint"].isna().all() and judge(claim(DEPTH), timed, repository.mine).standing == "confirmatory"


def test_cells_that_no_record_has_were_made_up_and_show_nothing() -> None:
    table = by(trained(), UNKNOWN)
    assert Seen(None, None) in seen(table, {"f" * 16})
    assert Seen(None, None) in seen(table, {"f" * 16, table["id"].iloc[0]})
    assert seen(table, {table["id"].iloc[0]}) == {
        Seen(UNKNOWN, False, NEWEST.name, NEWEST.fingerprint(), counts) for counts in (True, False)
    }
