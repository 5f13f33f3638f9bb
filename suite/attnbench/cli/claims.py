"""`attnbench claims`: prints the claims of papers, each with its verdict."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from attnbench import registry
from attnbench.analysis.frame import load
from attnbench.analysis.labels import setting_text
from attnbench.claim import EXPLORATORY, Claim, Verdict, verdict_text
from attnbench.claims._history import file_of
from attnbench.claims._judge import HOW, Judgement, judged
from attnbench.claims._untested import UNTESTED
from attnbench.cli._notices import tell_of_plugins
from attnbench.cli.output import print_json
from attnbench.cli.terminal import new_table, print_indented, print_problems, print_table
from attnbench.errors import BadInput
from attnbench.store.store import Problem

STYLES: dict[Verdict, str] = {"reproduced": "green", "partly": "cyan", "not reproduced": "red", "inconclusive": "yellow"}


def show_claims(results: Path, names: list[str], as_json: bool, evidence: bool, out: Console, err: Console) -> None:
    """Judge claims and print the verdicts.

    names: of claims, or paths of files; all registered claims if it is empty. evidence: print the numbers behind each verdict too.
    as_json: print a list of {name, statement, verdict, standing, why, ...}. Without names, the claims that are not tested stand below.

    Raises BadInput for an unknown claim, a file that declares none, two files of one name, or a missing results folder. Of all registered
    claims those that cannot be loaded are named, and left out.
    """
    if names:
        sources = registry.by_stem("claims", names)
        claims = {name: _claim(source) for name, source in sources.items()}
    else:
        tell_of_plugins(("claims",))
        claims = _loadable(registry.names("claims"), err)
        sources = {name: name for name in claims}
    problems: list[Problem] = []
    table = load(results, problems, curves=True)
    print_problems(err, problems)
    found = {name: judged(claim, table, file_of(sources[name])) for name, claim in claims.items()}
    if as_json:
        print_json([_as_json(name, claims[name], found[name]) for name in claims])
        return
    for name, claim in claims.items():
        _print(name, claim, found[name], evidence, out)
    if not names:
        _print_untested(out)
    verdicts = [of.verdict for of in found.values()]
    out.print(", ".join(f"{verdicts.count(verdict)} {verdict_text(verdict)}" for verdict in STYLES), highlight=False)
    if exploratory := sum(of.standing == "exploratory" for of in found.values()):
        out.print(f"{exploratory} of {len(claims)} are exploratory: {EXPLORATORY}.", style="dim", highlight=False)
    if "inconclusive" in verdicts:
        out.print(f"What most of the missing is measured by: {HOW} --results {results}", style="dim", markup=False, highlight=False)


def _loadable(names: list[str], err: Console) -> dict[str, Claim]:
    found: dict[str, Claim] = {}
    for name in names:
        try:
            found[name] = _claim(name)
        except BadInput as error:  # of a plug-in
            err.print(f"left out: {error}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    return found


def _claim(name: str) -> Claim:
    claim = registry.load("claims", name)
    if not isinstance(claim, Claim):
        raise BadInput(f"the CLAIM of {name} is a {type(claim).__name__}; it must be an attnbench.claim.Claim")
    return claim


def _print(name: str, claim: Claim, found: Judgement, evidence: bool, out: Console) -> None:
    style = STYLES[found.verdict]
    said = f"[bold {style}]{verdict_text(found.verdict)}[/]  [bold]{escape(name)}[/]  [dim]{found.standing}[/]"
    out.print(said, markup=True, highlight=False)
    asked = "Our question, not the paper's claim: " if claim.question else ""
    print_indented(out, f"{asked}{claim.statement}", "")
    for what, text in claim.told().items():
        print_indented(out, f"{what}: {text}", "dim")
    print_indented(out, f"{found.standing.capitalize()}: {found.standing_why}", "dim")
    print_indented(out, found.why, "")
    for what in found.missing:
        print_indented(out, f"missing: {what}", "yellow")
    if evidence:
        _print_evidence(found.evidence, out)
    out.print()


def _print_evidence(rows: list[dict[str, Any]], out: Console) -> None:
    """Print a table for each bench, below its name."""
    for bench, own in itertools.groupby(rows, key=lambda row: setting_text(row["bench"])):
        table = new_table("what", "at", "seeds", "median", "least", "most", "unit", "", left=("what", "at", "unit", ""))
        for row in own:
            numbers = (f"{row[name]:.4g}" for name in ("value", "low", "high"))
            note = "" if row["counted"] else "not counted"
            table.add_row(row["arm"], f"{row['axis']} {row['at']}", str(row["seeds"]), *numbers, row["unit"], note)
        print_indented(out, bench, "dim")
        print_table(out, table)


def _print_untested(out: Console) -> None:
    out.print("Not tested here", style="bold")
    for each in UNTESTED:
        print_indented(out, f"{each.what} {each.paper}: {each.why}.", "dim")
    out.print()


def _as_json(name: str, claim: Claim, found: Judgement) -> dict[str, Any]:
    return {
        "name": name, "statement": claim.statement, "question": claim.question, "verdict": found.verdict, "standing": found.standing,
        "standing_why": found.standing_why, "why": found.why, "missing": list(found.missing), "quote": claim.quote,
        "as_reported": claim.as_reported, "citation": claim.citation, "source": claim.source, "evaluated": claim.evaluated,
        "rule": claim.rule, "power": claim.power, "evidence": found.evidence,
    }  # fmt: skip
