"""A small store of planted records, by which the commands are tested."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from attnbench import registry
from attnbench.analysis.frame import load
from attnbench.claims import _rule_files
from attnbench.claims._judge import Judgement, judge
from attnbench.spec import budgets
from attnbench.spec.learning_grids import PILOTED
from attnbench.spec.pilot import budget_key
from attnbench.spec.protocol import NEWEST
from attnbench.store.store import Store
from helpers.claim_data import PLANTED
from helpers.claim_records import EPOCHS
from helpers.rule_repository import RuleRepository

HELD = {
    "orthogonal_conditions_depth": "not reproduced",
    "softmax_loses_rank": "reproduced",
    "softmax_norm_is_bounded": "reproduced",
    "damping_hurts_depth": "partly",
}


@pytest.fixture(scope="module", autouse=True)
def piloted() -> Iterator[None]:
    """A pilot of which every task has the budget of the planted records; for the tests of this folder and no others."""
    with pytest.MonkeyPatch.context() as changed:
        every = [budget_key(spec, str(spec.task)) for spec in PILOTED.first("cpu", {}, NEWEST)]
        changed.setattr(budgets, "CHOSEN", dict.fromkeys(every, EPOCHS))
        yield


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with what is planted for some claims."""
    results = tmp_path_factory.mktemp("planted")
    store = Store(results)
    for name, verdict in HELD.items():
        for record in PLANTED[name][verdict]():
            store.append(record)
    return results


@pytest.fixture(scope="module")
def judged_here(planted: Path) -> dict[str, Judgement]:
    """The judgement on every claim by these."""
    table = load(planted, curves=True)
    return {name: judge(registry.load("claims", name), table, registry.source("claims", name)) for name in registry.names("claims")}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RuleRepository:
    """A repository without a commit, in which the rules of claims are looked for."""
    made = RuleRepository(tmp_path.resolve())
    monkeypatch.setattr(_rule_files, "_PACKAGE", made.package)
    return made
