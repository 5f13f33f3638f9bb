"""The standing of a claim follows from the history of the files of its rule: in real git repositories, made for the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnbench.analysis import commits
from attnbench.claims import _rule_files
from attnbench.claims._history import standing_of
from attnbench.claims._seen import Seen
from attnbench.spec.protocol import FIRST, NEWEST
from helpers.rule_repository import FILES, RULE, RuleRepository

UNKNOWN = "d" * 40
OTHER = {"claims/mine.py": RULE.replace("10", "11")}


def clean(*names: str) -> list[Seen]:
    return [Seen(name, False) for name in names]


def trained(commit: str, counts: bool = True, fingerprint: str | None = NEWEST.fingerprint(), protocol: str = NEWEST.name) -> Seen:
    return Seen(commit, False, protocol, fingerprint, counts)


def test_a_rule_that_stood_before_its_data_is_confirmatory(repository: RuleRepository) -> None:
    first, later = repository.commit(FILES), repository.commit({"claims/other.py": "X = 1\n"})
    standing, why = standing_of(repository.mine, clean(first, later))
    assert standing == "confirmatory" and "all 2 commits" in why
    assert first[:7] in standing_of(repository.mine, clean(first))[1]


def test_a_rule_that_came_or_changed_after_one_of_its_data_is_exploratory(repository: RuleRepository) -> None:
    before = repository.commit({name: text for name, text in FILES.items() if name != "claims/mine.py"})
    first, later = repository.commit(FILES), repository.commit(OTHER)
    assert standing_of(repository.mine, clean(later))[0] == "confirmatory"
    for old, said in ((first, "had another text"), (before, "did not exist")):
        standing, why = standing_of(repository.mine, clean(later, old))
        assert standing == "exploratory" and said in why and old[:7] in why


def test_a_rule_that_is_not_committed_is_exploratory(repository: RuleRepository) -> None:
    first = repository.commit(FILES)
    repository.mine.write_text(RULE + "\n", encoding="utf-8")  # byte for byte: a line without content is a change
    assert "mine.py had another text" in standing_of(repository.mine, clean(first))[1]
    new = repository.mine.with_name("new.py")
    new.write_text(RULE, encoding="utf-8")
    assert "new.py did not exist" in standing_of(new, clean(first))[1]


@pytest.mark.parametrize(("commit", "dirty", "said"), [(None, False, "not known"), ("0", True, "may differ"), ("0", None, "may differ")])
def test_a_record_of_unknown_code_makes_it_exploratory(
    repository: RuleRepository, commit: str | None, dirty: bool | None, said: str
) -> None:
    first = repository.commit(FILES)
    standing, why = standing_of(repository.mine, [*clean(first), Seen(first if commit else None, dirty)])
    assert standing == "exploratory" and said in why


def test_a_commit_of_another_repository_shows_nothing(repository: RuleRepository) -> None:
    repository.commit(FILES)
    standing, why = standing_of(repository.mine, clean(UNKNOWN))
    assert standing == "exploratory" and UNKNOWN[:7] in why and "is not known" in why


def test_without_git_everything_is_exploratory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.py"
    file.write_text(RULE, encoding="utf-8")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    standing, why = standing_of(file, clean(UNKNOWN))
    assert standing == "exploratory" and "not a git repository" in why
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "deeper").mkdir()
    moved = file.rename(tmp_path / "deeper" / "mine.py")
    assert "git is not installed" in standing_of(moved, clean(UNKNOWN))[1]
    assert standing_of(None, clean(UNKNOWN))[0] == standing_of(moved, [])[0] == "exploratory"


@pytest.mark.parametrize("name", ["claim.py", "claims/_judge.py", "claims/_bounds.py", "stats/margins.py", "stats/levels.py"])
def test_what_decides_beside_the_claims_own_file_is_part_of_its_rule(repository: RuleRepository, name: str) -> None:
    """A margin in a shared module, a level in statistics or how the judge counts could be moved without touching the claim's own file."""
    mine = "from attnbench.claims._bounds import BOUND\n"
    files = {**FILES, "claims/mine.py": mine, "claims/_bounds.py": f"from attnbench.stats import behind\n{RULE}"}
    first = repository.commit(files)
    assert standing_of(repository.mine, clean(first))[0] == "confirmatory"
    later = repository.commit({name: f"{files[name]}MOVED = 1\n"})
    standing, why = standing_of(repository.mine, clean(first))
    assert standing == "exploratory" and f"{name} had another text at commit {first[:7]}" in why
    assert standing_of(repository.mine, clean(later))[0] == "confirmatory"


@pytest.mark.parametrize("name", ["claims/_history.py", "stats/ranks.py", "stats/__init__.py", "spec/budgets.py"])
def test_what_decides_nothing_of_a_claim_may_change(repository: RuleRepository, name: str) -> None:
    first = repository.commit({**FILES, "claims/mine.py": f"from attnbench.stats import behind\n{RULE}"})
    repository.commit({name: f"{FILES[name]}MOVED = 1\n"})
    assert standing_of(repository.mine, clean(first))[0] == "confirmatory"


def test_budgets_have_to_stand_before_the_runs_that_count_and_not_before_those_that_chose_them(repository: RuleRepository) -> None:
    pilot = repository.commit({**FILES, "claims/mine.py": "from attnbench.spec.budgets import CHOSEN\n"})
    chosen = repository.commit({"spec/budgets.py": 'CHOSEN = {"mnist": 8}\n'})
    assert standing_of(repository.mine, [trained(pilot, counts=False), trained(chosen)])[0] == "confirmatory"
    standing, why = standing_of(repository.mine, [trained(pilot), trained(chosen)])
    assert standing == "exploratory" and "spec/budgets.py had another text" in why
    assert standing_of(repository.mine, clean(pilot))[0] == "confirmatory"  # what is timed has no budget
    repository.commit({"claims/mine.py": "from attnbench.spec.budgets import CHOSEN\nBOUND = 1\n"})
    assert "mine.py" in standing_of(repository.mine, [trained(pilot, counts=False)])[1]


def test_a_run_by_another_form_of_its_protocol_makes_it_exploratory(repository: RuleRepository) -> None:
    first = repository.commit(FILES)
    assert standing_of(repository.mine, [trained(first)])[0] == "confirmatory"
    others = (
        ({"fingerprint": FIRST.fingerprint()}, "in another form"),
        ({"fingerprint": None}, "does not say"),
        ({"protocol": "2026-00"}, "not known here"),
    )
    for other, said in others:
        for counts in (True, False):
            standing, why = standing_of(repository.mine, [trained(first), trained(first, counts, **other)])
            assert standing == "exploratory" and said in why and ("trial" in why) is not counts


def test_of_what_measured_records_those_that_count_are_named_first(repository: RuleRepository) -> None:
    first, second = repository.commit(FILES), repository.commit({"claims/other.py": "X = 1\n"})
    repository.commit(OTHER)
    for commits_ in ((first, second), (second, first)):
        why = standing_of(repository.mine, [Seen(commits_[0], False, counts=False), Seen(commits_[1], False)])[1]
        assert commits_[1][:7] in why and "which measured a record." in why
    why = standing_of(repository.mine, [Seen(first, False, counts=False)])[1]
    assert "which measured another seed, budget or trial of what counts." in why


def test_git_is_asked_once_for_each_commit_and_folder(repository: RuleRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    first = repository.commit({**FILES, "claims/other.py": RULE})
    asked: list[object] = []
    real = commits.result_of
    monkeypatch.setattr(commits, "result_of", lambda command, **given: asked.append(command) or real(command, **given))
    for name in ("mine", "other", "mine"):
        assert standing_of(repository.mine.with_name(f"{name}.py"), clean(first) * 1000)[0] == "confirmatory"
    assert len(asked) == len({_rule_files._PACKAGE, _rule_files._PACKAGE / "claims"})
