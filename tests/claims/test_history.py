"""The standing of a claim follows from the history of its file: in real git repositories, made for the test."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pandas as pd
import pytest

from attnbench.analysis import commits
from attnbench.claims import _history
from attnbench.claims._history import standing_of
from attnbench.claims._judge import judge
from helpers.claim_data import claim, table_of

RULE = "BOUND = 10.0\n"
UNKNOWN = "d" * 40


def git(folder: Path, *arguments: str) -> str:
    given = ["-c", "user.name=n", "-c", "user.email=e@e", "-c", "commit.gpgsign=false", "-c", "core.autocrlf=false"]
    return subprocess.run(["git", "-C", str(folder), *given, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path, **files: str) -> str:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
        git(folder, "add", f"{name}.py")
    git(folder, "commit", "--allow-empty", "-qm", "more")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An empty repository, with a folder of claims below its root."""
    git(tmp_path, "init", "-q")
    folder = tmp_path / "claims"
    folder.mkdir()
    return folder


def test_a_rule_that_stood_before_its_data_is_confirmatory(repository: Path) -> None:
    first, later = commit(repository, mine=RULE), commit(repository, other="X = 1\n")
    standing, why = standing_of(repository / "mine.py", [(first, False), (later, False)])
    assert standing == "confirmatory" and "all 2 commits" in why
    assert first[:7] in standing_of(repository / "mine.py", [(first, False)])[1]


def test_a_rule_that_came_or_changed_after_one_of_its_data_is_exploratory(repository: Path) -> None:
    before, first = commit(repository, other="X = 1\n"), commit(repository, mine=RULE)
    later = commit(repository, mine=RULE.replace("10", "11"))
    file = repository / "mine.py"
    assert standing_of(file, [(later, False)])[0] == "confirmatory"
    for old, said in ((first, "had another text"), (before, "did not exist")):
        standing, why = standing_of(file, [(later, False), (old, False)])
        assert standing == "exploratory" and said in why and old[:7] in why


def test_a_rule_that_is_not_committed_is_exploratory(repository: Path) -> None:
    first = commit(repository, mine=RULE)
    (repository / "mine.py").write_text(RULE + "\n", encoding="utf-8")  # byte for byte: a line without content is a change
    assert "had another text" in standing_of(repository / "mine.py", [(first, False)])[1]
    (repository / "new.py").write_text(RULE, encoding="utf-8")
    assert "did not exist" in standing_of(repository / "new.py", [(first, False)])[1]


@pytest.mark.parametrize(("commit_", "dirty", "said"), [(None, False, "not known"), ("0", True, "may differ"), ("0", None, "may differ")])
def test_a_record_of_unknown_code_makes_it_exploratory(repository: Path, commit_: str | None, dirty: bool | None, said: str) -> None:
    first = commit(repository, mine=RULE)
    record = (first if commit_ else None, dirty)
    standing, why = standing_of(repository / "mine.py", [(first, False), record])
    assert standing == "exploratory" and said in why


def test_a_commit_of_another_repository_shows_nothing(repository: Path) -> None:
    commit(repository, mine=RULE)
    standing, why = standing_of(repository / "mine.py", [(UNKNOWN, False)])
    assert standing == "exploratory" and UNKNOWN[:7] in why and "is not known" in why


def test_without_git_everything_is_exploratory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.py"
    file.write_text(RULE, encoding="utf-8")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    standing, why = standing_of(file, [(UNKNOWN, False)])
    assert standing == "exploratory" and "not a git repository" in why
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "deeper").mkdir()
    moved = file.rename(tmp_path / "deeper" / "mine.py")
    assert "git is not installed" in standing_of(moved, [(UNKNOWN, False)])[1]
    assert standing_of(None, [(UNKNOWN, False)])[0] == standing_of(moved, [])[0] == "exploratory"


def test_what_a_rule_takes_from_a_shared_module_is_part_of_it(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A margin in a shared module could be moved without touching the claim's own file."""
    monkeypatch.setattr(_history, "__file__", str(repository / "_history.py"))
    mine = "from attnbench.claims._bounds import BOUND\nfrom attnbench.claims._judge import HOW\n"
    first = commit(repository, mine=mine, _bounds=RULE, _judge="HOW = 1\n")
    assert standing_of(repository / "mine.py", [(first, False)])[0] == "confirmatory"
    commit(repository, _judge="HOW = 2\n")
    assert standing_of(repository / "mine.py", [(first, False)])[0] == "confirmatory"  # which holds no rule of the claim
    later = commit(repository, _bounds=RULE.replace("10", "11"))
    assert "_bounds.py had another text" in standing_of(repository / "mine.py", [(first, False)])[1]
    assert standing_of(repository / "mine.py", [(later, False)])[0] == "confirmatory"


def test_git_is_asked_once_for_each_commit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = commit(repository, mine=RULE, other=RULE)
    asked: list[object] = []
    real = commits.result_of
    monkeypatch.setattr(commits, "result_of", lambda command, **given: asked.append(command) or real(command, **given))
    for name in ("mine", "other", "mine"):
        assert standing_of(repository / f"{name}.py", [(first, False)] * 1000)[0] == "confirmatory"
    assert len(asked) == 1


def test_the_records_that_count_are_those_that_the_rule_saw(repository: Path) -> None:
    """A seed that the other arms lack counts for nothing, whatever measured it; one that counts is enough to show nothing."""
    name = "orthogonal_conditions_depth"
    first = commit(repository, mine=RULE)
    table = table_of(name, "reproduced").assign(attnbench_commit=first)
    file = repository / "mine.py"
    assert judge(claim(name), table, file).standing == "confirmatory"
    assert judge(claim(name), table).standing == "exploratory"
    extra = table[((table["variant"] == "softmax") & (table["seed"] == 0)).to_numpy()].assign(seed=7, attnbench_commit=UNKNOWN)
    extra = extra.assign(id=extra["id"] + "+", cell=extra["cell"] + "+")
    assert judge(claim(name), pd.concat([table, extra]), file).standing == "confirmatory"
    one = table.assign(dirty=(table["seed"] == 1).to_numpy())
    found = judge(claim(name), one, file)
    assert (found.verdict, found.standing) == ("reproduced", "exploratory") and "may differ" in found.standing_why
    assert judge(claim(name), table[:0], file).standing_why.startswith("No record counts yet")
