"""The standing of a claim: whether its rule stood, byte for byte, in the commits whose code measured the records that count.

It is confirmatory only if at each of these commits the claim's file, and every private module of this folder that it takes its rule from,
had the text that it has now. A record whose commit is not known, or whose code was changed since, shows nothing; nor does a file without a
git history. Then it is exploratory, and why is said.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from attnbench import registry
from attnbench.analysis.commits import content_name, content_names
from attnbench.claim import Standing
from attnbench.errors import AttnbenchError

_SHARED = "attnbench.claims._"  # how the names of modules begin that claims share
_JUDGE = ("_judge", "_history", "_untested")  # which hold no rule
Commit = tuple[str | None, bool | None]  # that of a record, and whether the code was changed since; None where unknown


def file_of(source: str) -> Path | None:
    """The file of a claim, by its name or path; None where none is found, as for a plug-in without one."""
    with suppress(AttnbenchError):
        return registry.source("claims", source)
    return None


def standing_of(file: Path | None, commits: Iterable[Commit]) -> tuple[Standing, str]:
    """The standing of a claim, and the reason in a sentence.

    file: that of the claim; None where it is not known. commits: those of the records that count.
    """
    if file is None:
        return "exploratory", "The file that holds the rule is not known."
    found = set(commits)
    if not found:
        return "exploratory", "No record counts yet, before which the rule could have stood."
    if any(commit is None for commit, _ in found):
        return "exploratory", "The commit that measured a record is not known."
    if loose := sorted({str(commit) for commit, dirty in found if dirty is not False}):
        return "exploratory", f"A record was measured by code that may differ from its commit {loose[0][:7]}."
    whole = sorted({str(commit) for commit, _ in found})
    for each in _rule_files(file):
        for commit in whole:
            if why := _why_other(each, commit):
                return "exploratory", why
    told = f"commit {whole[0][:7]}" if len(whole) == 1 else f"all {len(whole)} commits"
    return "confirmatory", f"The rule stood, byte for byte, in {told} by which its records were measured."


def _rule_files(file: Path) -> list[Path]:
    """The claim's file, and the private modules of this folder that it takes its rule from, directly or by way of another."""
    found = [file.resolve()]
    for each in found:  # which grows meanwhile
        for node in ast.walk(ast.parse(each.read_bytes())):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            if module and module.startswith(_SHARED) and module.rpartition(".")[2] not in _JUDGE:
                shared = Path(__file__).with_name(f"{module.rpartition('.')[2]}.py").resolve()
                found += [shared] if shared not in found else []
    return found


def _why_other(file: Path, commit: str) -> str | None:
    """Why a file is not shown to have had its text at a commit; None where it had."""
    names, said = content_names(file.parent, commit)
    if names is None:
        return f"The text of {file.name} at commit {commit[:7]}, which measured a record, is not known: {said}."
    if file.name not in names:
        return f"{file.name} did not exist at commit {commit[:7]}, which measured a record."
    if names[file.name] != content_name(file.read_bytes(), len(names[file.name])):
        return f"{file.name} had another text at commit {commit[:7]}, which measured a record."
    return None
