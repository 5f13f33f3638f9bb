"""The files that the rules of the shipped claims are made of, and how imports are followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnbench import registry
from attnbench.claims import _rule_files
from attnbench.claims._rule_files import rule_files, shown
from helpers.rule_repository import FILES, RuleRepository

CLAIMS = registry.builtin("claims")
STATS = {name for name in FILES if name.startswith("stats/")}


def names_of(file: Path) -> list[str]:
    return [shown(each) for each in rule_files(file)]


@pytest.mark.parametrize("name", CLAIMS)
def test_every_rule_begins_with_its_own_file_and_has_the_judge_and_the_contract(name: str) -> None:
    found = names_of(registry.source("claims", name))
    assert found[:3] == [f"claims/{name}.py", "claims/_judge.py", "claim.py"] and len(found) == len(set(found))
    assert not set(found) & set(_rule_files._NO_RULE)


def test_every_shared_module_of_claims_is_of_a_rule_or_named_as_none() -> None:
    """And every file that is named is there, so that a new name cannot leave one out."""
    package = _rule_files._PACKAGE
    found = {name for claim in CLAIMS for name in names_of(registry.source("claims", claim))}
    shared = {shown(file) for file in (package / "claims").glob("_*.py")}
    assert shared - found == set(_rule_files._NO_RULE) and set(_rule_files._NO_RULE) <= shared
    assert all((package / name).is_file() for name in (*_rule_files._ALWAYS, *_rule_files.DECIDED))


def test_the_statistics_of_a_rule_are_those_that_it_uses() -> None:
    """Non-inferiority rests on a level, Welch's variance and the model of processes; not on ranks."""
    found = {name for name in names_of(registry.source("claims", "sigmoid_matches_softmax")) if name.startswith("stats/")}
    assert {"stats/equivalence.py", "stats/crossed.py", "stats/difference.py", "stats/processes.py"} <= found
    assert not found & {"stats/__init__.py", "stats/ranks.py", "stats/frontier.py"}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("from attnbench.stats import behind", {"stats/margins.py", "stats/levels.py"}),
        ("from attnbench.stats import behind as _b", {"stats/margins.py", "stats/levels.py"}),
        ("from attnbench.stats.levels import LEVEL", {"stats/levels.py"}),
        ("import attnbench.stats.levels as levels", {"stats/levels.py"}),
        ("from attnbench.stats import levels", {"stats/levels.py"}),
        ("from attnbench import stats", STATS),
        ("from attnbench.stats import *", STATS),
        ("from attnbench.claims._judge import SEEDS", set()),
        ("from attnbench.claims import other", {"claims/other.py", "stats/levels.py"}),
        ("from . import other", {"claims/other.py", "stats/levels.py"}),
        ("from .other import X", {"claims/other.py", "stats/levels.py"}),
        ("from ..stats.levels import LEVEL", {"stats/levels.py"}),
        ("from attnbench.spec.budgets import CHOSEN", {"spec/budgets.py"}),
        ("import attnbench\nimport numpy\nfrom attnbench.stats.gone import X\nfrom attnbench.nowhere import X", set()),
    ],
)
def test_imports_are_followed_in_whatever_form_they_are_written(repository: RuleRepository, line: str, found: set[str]) -> None:
    other = "from attnbench.stats.levels import LEVEL\n"
    repository.commit({**FILES, "claims/mine.py": f"{line}\n", "claims/other.py": other})
    assert set(names_of(repository.mine)) == {"claims/mine.py", "claims/_judge.py", "claim.py"} | found


def test_a_claim_of_anybody_is_named_by_its_file_alone(repository: RuleRepository, tmp_path: Path) -> None:
    repository.commit(FILES)
    theirs = tmp_path / "theirs.py"
    theirs.write_text("from . import other\nfrom attnbench.stats import behind\n")
    assert names_of(theirs) == ["theirs.py", "claims/_judge.py", "claim.py", "stats/margins.py", "stats/levels.py"]
