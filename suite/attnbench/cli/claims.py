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
from attnbench.claim import Claim
from attnbench.claims._judge import HOW, Judgement, judged
from attnbench.cli.output import print_json
from attnbench.cli.terminal import new_table, print_indented, print_problems, print_table
from attnbench.errors import BadInput
from attnbench.store.store import Problem

STYLES = {"reproduced": "green", "not reproduced": "red", "inconclusive": "yellow"}


def show_claims(results: Path, names: list[str], as_json: bool, evidence: bool, out: Console, err: Console) -> None:
    """Judge claims and print the verdicts.

    names: of claims, or paths of files; all registered claims if it is empty. evidence: print the numbers behind each verdict too.
    as_json: print a list of {name, statement, verdict, why, missing, rule, citation, as_reported, evidence}.

    Raises BadInput for an unknown claim, a file that declares none, or a missing results folder.
    """
    claims = {registry.stem(name): _claim(name) for name in names or registry.names("claims")}
    problems: list[Problem] = []
    table = load(results, problems, curves=True)
    print_problems(err, problems)
    found = {name: judged(claim, table) for name, claim in claims.items()}
    if as_json:
        print_json([_as_json(name, claims[name], found[name]) for name in claims])
        return
    for name, claim in claims.items():
        _print(name, claim, found[name], evidence, out)
    verdicts: list[str] = [of.verdict for of in found.values()]
    out.print(", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in STYLES), highlight=False)
    if "inconclusive" in verdicts:
        out.print(f"What most of the missing is measured by: {HOW} --results {results}", style="dim", markup=False, highlight=False)


def _claim(name: str) -> Claim:
    claim = registry.load("claims", name)
    if not isinstance(claim, Claim):
        raise BadInput(f"the CLAIM of {name} is a {type(claim).__name__}; it must be an attnbench.claim.Claim")
    return claim


def _print(name: str, claim: Claim, found: Judgement, evidence: bool, out: Console) -> None:
    style = STYLES[found.verdict]
    out.print(f"[bold {style}]{found.verdict}[/]  [bold]{escape(name)}[/]", markup=True, highlight=False)
    reported = " (as reported)" if claim.as_reported else ""
    for text, of in ((claim.statement, ""), (f"{claim.citation}{reported}", "dim"), (f"Rule: {claim.rule}", "dim"), (found.why, "")):
        print_indented(out, text, of)
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


def _as_json(name: str, claim: Claim, found: Judgement) -> dict[str, Any]:
    return {
        "name": name, "statement": claim.statement, "verdict": found.verdict, "why": found.why, "missing": list(found.missing),
        "rule": claim.rule, "citation": claim.citation, "as_reported": claim.as_reported, "evidence": found.evidence,
    }  # fmt: skip
