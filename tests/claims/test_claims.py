"""`attnbench claims`: what it prints for people and for programs, and what the README says."""

from __future__ import annotations

import io
import json
import re
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from rich.console import Console

from attnbench import registry
from attnbench.analysis.frame import load
from attnbench.claim import Claim, Verdict, verdict_text
from attnbench.claims._judge import judge
from attnbench.cli.claims import show_claims
from attnbench.errors import BadInput
from helpers.paths import REPO

RESULTS = REPO / "results"


@cache
def judged_here() -> dict[str, Verdict]:
    """The verdict on every claim by the shipped records. Which it is is a finding, and no test asks for it."""
    table = load(RESULTS, curves=True)
    return {name: judge(registry.load("claims", name), table).verdict for name in registry.names("claims")}


def test_the_readmes_verdicts_are_those_of_the_records() -> None:
    rows = re.findall(r"^\| `(\w+)`: .* \| (\w[\w ]+) \|$", (REPO / "README.md").read_text(encoding="utf-8"), re.M)
    assert dict(rows) == {name: verdict_text(verdict) for name, verdict in judged_here().items()}


def shown(*names: str, as_json: bool = False, evidence: bool = False, results: Path = RESULTS) -> str:
    out = io.StringIO()
    show_claims(results, list(names), as_json, evidence, Console(file=out, width=120), Console(file=out))
    return out.getvalue()


def test_the_terminal_shows_verdicts_and_what_is_missing() -> None:
    text, verdicts = shown(), judged_here()
    assert all(f"{verdict_text(verdict)}  {name}  {registry.load('claims', name).standing}" in text for name, verdict in verdicts.items())
    assert ", ".join(f"{[*verdicts.values()].count(verdict)} {verdict_text(verdict)}" for verdict in get_args(Verdict)) in text
    exploratory = [name for name in verdicts if registry.load("claims", name).standing == "exploratory"]
    assert f"{len(exploratory)} of {len(verdicts)} are exploratory" in text
    assert ("attnbench run --preset claims" in text) == ("inconclusive" in verdicts.values())
    table = shown("softmax_loses_rank", evidence=True)
    assert "num_layers 12" in table and "orthogonal_is_linear" not in table


def test_programs_get_every_claim_with_its_evidence(capsys: pytest.CaptureFixture[str]) -> None:
    shown(as_json=True)
    found = json.loads(capsys.readouterr().out, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))
    assert {of["name"]: of["verdict"] for of in found} == judged_here()
    assert all({"statement", "evidence", "rule", "citation", "why", "missing"} <= of.keys() for of in found)
    assert {of["name"]: of["standing"] for of in found} == {name: registry.load("claims", name).standing for name in judged_here()}
    assert all(set(get_args(Verdict)) >= {of["verdict"]} for of in found)  # the word alone, for programs


def test_what_is_not_reproduced_is_so_in_this_setting() -> None:
    assert {verdict: verdict_text(verdict) for verdict in get_args(Verdict)} == {
        "reproduced": "reproduced", "not reproduced": "not reproduced in this setting", "inconclusive": "inconclusive",
    }  # fmt: skip


def test_a_claim_is_exploratory_or_confirmatory() -> None:
    whole = registry.load("claims", "softmax_loses_rank")
    assert Claim(**{**vars(whole), "standing": "confirmatory"}).standing == "confirmatory"
    fields = {name: value for name, value in vars(whole).items() if name != "standing"}
    assert Claim(**fields).standing == "exploratory"  # what a claim is that says nothing
    with pytest.raises(BadInput, match="standing is 'sure'; it must be one of exploratory, confirmatory"):
        Claim(**{**fields, "standing": "sure"})


@pytest.mark.parametrize(
    ("field", "odd"),
    [
        ("statement", None),
        ("statement", " "),
        ("citation", 3),
        ("rule", ""),
        ("arms", ()),
        ("arms", (3,)),
        ("arms", []),
        ("query", None),
        ("decide", "x"),
    ],
)
def test_what_is_no_claim_is_refused_by_its_field(field: str, odd: object) -> None:
    with pytest.raises(BadInput, match=f"the claim's {field} (is|are) "):
        Claim(**{**vars(registry.load("claims", "softmax_loses_rank")), field: odd})


def test_anyone_can_add_a_claim_in_one_file(tmp_path: Path) -> None:
    file = tmp_path / "my_claim.py"
    text = (Path(registry.__file__).parents[1] / "claims" / "softmax_loses_rank.py").read_text(encoding="utf-8")
    file.write_text(text.replace("LOST = 0.5", "LOST = 0.01"), encoding="utf-8")
    assert "not reproduced in this setting  my_claim  exploratory" in shown(str(file))  # no rank is below a hundredth of 16
    file.with_name("no_claim.py").write_text("CLAIM = 3\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"must be an attnbench\.claim\.Claim"):
        shown(str(file.with_name("no_claim.py")))
    broken = tmp_path / "broken.py"
    broken.write_text(text.replace('rows["at"].min()', "1 / 0"), encoding="utf-8")
    assert "inconclusive  broken" in (said := shown(str(broken), "softmax_norm_is_bounded")) and "ZeroDivisionError" in said
    assert f"{verdict_text(judged_here()['softmax_norm_is_bounded'])}  softmax_norm_is_bounded" in said
    with pytest.raises(BadInput, match="did you mean 'softmax_loses_rank'"):
        shown("softmax_looses_rank")
    with pytest.raises(BadInput, match="no results folder"):
        shown(results=tmp_path / "nothing")
