"""`attnbench claims`: what it prints for people and for programs, and what the README says."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest
from rich.console import Console

from attnbench import registry
from attnbench.analysis.frame import load
from attnbench.claim import Claim, Verdict, verdict_text
from attnbench.claims._judge import Judgement, judge
from attnbench.claims._untested import UNTESTED
from attnbench.cli.claims import show_claims
from attnbench.errors import BadInput
from helpers.paths import REPO

Judged = Mapping[str, Judgement]


def test_the_readmes_verdicts_are_those_of_the_records() -> None:
    """Which they are is a finding, and no test asks for it."""
    table = load(REPO / "results", curves=True)
    verdicts = {name: judge(registry.load("claims", name), table).verdict for name in registry.names("claims")}
    rows = re.findall(r"^\| `(\w+)`: .* \| (\w[\w ]+) \|$", (REPO / "README.md").read_text(encoding="utf-8"), re.M)
    assert dict(rows) == {name: verdict_text(verdict) for name, verdict in verdicts.items()}


def shown(results: Path, *names: str, as_json: bool = False, evidence: bool = False) -> str:
    out = io.StringIO()
    show_claims(results, list(names), as_json, evidence, Console(file=out, width=120), Console(file=out))
    return out.getvalue()


def test_the_terminal_shows_verdicts_with_their_reasons_and_what_is_missing(planted: Path, judged_here: Judged) -> None:
    text = shown(planted)
    said = " ".join(text.split())
    for name, of in judged_here.items():
        claim = registry.load("claims", name)
        assert f"{verdict_text(of.verdict)}  {name}  {of.standing}" in text
        assert all(" ".join(part.split()) in said for part in (claim.quote, claim.source, claim.evaluated, claim.rule, claim.power))
        assert f"{of.standing.capitalize()}: {of.standing_why}" in said
    verdicts = [of.verdict for of in judged_here.values()]
    assert ", ".join(f"{verdicts.count(verdict)} {verdict_text(verdict)}" for verdict in get_args(Verdict)) in text
    exploratory = sum(of.standing == "exploratory" for of in judged_here.values())
    assert (f"{exploratory} of {len(verdicts)} are exploratory" in text) == bool(exploratory)
    assert ("attnbench run --preset claims" in text) == ("inconclusive" in verdicts)
    assert all(each.what in said and each.why in said for each in UNTESTED)
    table = shown(planted, "softmax_loses_rank", evidence=True)
    assert "num_layers 12" in table and "orthogonal_is_linear" not in table and UNTESTED[0].what not in table


def test_programs_get_every_claim_with_its_evidence(planted: Path, judged_here: Judged, capsys: pytest.CaptureFixture[str]) -> None:
    shown(planted, as_json=True)
    found = json.loads(capsys.readouterr().out, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))
    assert {of["name"]: (of["verdict"], of["standing"]) for of in found} == {n: (of.verdict, of.standing) for n, of in judged_here.items()}
    fields = {"statement", "question", "standing_why", "why", "missing", "quote", "as_reported", "citation", "source", "evaluated", "rule"}
    assert all({*fields, "power", "evidence"} <= of.keys() for of in found)
    assert all(set(get_args(Verdict)) >= {of["verdict"]} for of in found)  # the word alone, for programs


def test_what_is_not_reproduced_is_so_in_this_setting() -> None:
    assert {verdict: verdict_text(verdict) for verdict in get_args(Verdict)} == {
        "reproduced": "reproduced", "partly": "partly", "not reproduced": "not reproduced in this setting", "inconclusive": "inconclusive",
    }  # fmt: skip


def test_a_claim_cannot_say_what_its_standing_is() -> None:
    with pytest.raises(TypeError, match="standing"):
        Claim(**{**vars(registry.load("claims", "softmax_loses_rank")), "standing": "confirmatory"})


@pytest.mark.parametrize(
    ("field", "odd"),
    [
        ("statement", None),
        ("statement", " "),
        ("citation", 3),
        ("quote", ""),
        ("source", None),
        ("evaluated", " "),
        ("power", 0.8),
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


def test_anyone_can_add_a_claim_in_one_file(planted: Path, judged_here: Judged, tmp_path: Path) -> None:
    file = tmp_path / "my_claim.py"
    text = (Path(registry.__file__).parents[1] / "claims" / "softmax_loses_rank.py").read_text(encoding="utf-8")
    file.write_text(text.replace("LOST = 0.5", "LOST = 0.0").replace("FALLS = 0.9", "FALLS = 0.0"), encoding="utf-8")
    assert "not reproduced in this setting  my_claim  exploratory" in shown(planted, str(file))  # no rank is below 0
    file.with_name("no_claim.py").write_text("CLAIM = 3\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"must be an attnbench\.claim\.Claim"):
        shown(planted, str(file.with_name("no_claim.py")))
    broken = tmp_path / "broken.py"
    broken.write_text(text.replace('rows["at"].min()', "1 / 0"), encoding="utf-8")
    assert "inconclusive  broken" in (said := shown(planted, str(broken), "softmax_norm_is_bounded")) and "ZeroDivisionError" in said
    assert f"{verdict_text(judged_here['softmax_norm_is_bounded'].verdict)}  softmax_norm_is_bounded" in said
    with pytest.raises(BadInput, match="did you mean 'softmax_loses_rank'"):
        shown(planted, "softmax_looses_rank")
    with pytest.raises(BadInput, match="no results folder"):
        shown(tmp_path / "nothing")
