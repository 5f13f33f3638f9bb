"""The standing of a claim: whether its rule stood, byte for byte, in the commits whose code measured what its verdict rests on.

It is confirmatory only if at the commit of every record that shows something of these cells, the oldest too (see _seen), each file of the
rule (see _rule_files) had the text that it has now, and if their protocol said then what it says now. What earlier runs decided, such as
budgets, has to have stood before the cells that count alone. A record whose commit is not known, or whose code was changed since, shows
nothing; nor does a file without a git history. Then it is exploratory, and why is said.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from attnbench import registry
from attnbench.analysis.commits import content_name, content_names
from attnbench.claim import Standing, protocol
from attnbench.claims._rule_files import is_decided, rule_files, shown
from attnbench.claims._seen import Seen
from attnbench.errors import AttnbenchError, BadInput


def file_of(source: str) -> Path | None:
    """The file of a claim, by its name or path; None where none is found, as for a plug-in without one."""
    with suppress(AttnbenchError):
        return registry.source("claims", source)
    return None


def standing_of(file: Path | None, records: Iterable[Seen]) -> tuple[Standing, str]:
    """The standing of a claim, and the reason in a sentence.

    file: that of the claim; None where it is not known. records: what is known of those that show something of the cells that count.
    """
    if file is None:
        return "exploratory", "The file that holds the rule is not known."
    found = sorted(set(records), key=lambda record: (not record.counts, str(record)))
    if not found:
        return "exploratory", "No record counts yet, before which the rule could have stood."
    why = next(filter(None, map(_why_unknown, found)), None) or next(filter(None, map(_why_other_protocol, found)), None)
    if why := why or _why_other_rule(file, found):
        return "exploratory", why
    commits = sorted({str(record.commit) for record in found})
    told = f"commit {commits[0][:7]}" if len(commits) == 1 else f"all {len(commits)} commits"
    return "confirmatory", f"The rule stood, byte for byte, in {told} by which its records were measured."


def _why_unknown(record: Seen) -> str | None:
    """Why the code of a record is not known; None where it is."""
    if record.commit is None:
        return f"The commit that measured {_what(record)} is not known."
    if record.dirty is not False:
        return f"{_what(record).capitalize()} was measured by code that may differ from its commit {record.commit[:7]}."
    return None


def _why_other_protocol(record: Seen) -> str | None:
    """Why a training run is not shown to be by its protocol as it is now; None where it is, or has none."""
    if record.protocol is None:
        return None
    what = _what(record).capitalize()
    if record.fingerprint is None:
        return f"{what} does not say in which form protocol {record.protocol} made it."
    try:
        now = protocol(record.protocol).fingerprint()
    except BadInput:
        return f"{what} was made by protocol {record.protocol}, which is not known here."
    if record.fingerprint != now:
        return f"{what} was made by protocol {record.protocol} in another form, {record.fingerprint} and not {now}."
    return None


def _why_other_rule(file: Path, records: Iterable[Seen]) -> str | None:
    """Why a file of the rule is not shown to have had its text at the commit of a record; None where all had."""
    whats: dict[str, str] = {}  # by commit
    of_runs: dict[str, str] = {}
    for record in records:
        whats.setdefault(str(record.commit), _what(record))
        if record.counts and record.protocol is not None:
            of_runs.setdefault(str(record.commit), _what(record))
    for each in rule_files(file):
        for commit, what in (of_runs if is_decided(each) else whats).items():
            if why := _why_other(each, f"commit {commit[:7]}, which measured {what}", commit):
                return why
    return None


def _why_other(file: Path, told: str, commit: str) -> str | None:
    """Why a file is not shown to have had its text at a commit; None where it had. told: the commit, as readers see it."""
    names, said = content_names(file.parent, commit)
    if names is None:
        return f"The text of {shown(file)} at {told}, is not known: {said}."
    if file.name not in names:
        return f"{shown(file)} did not exist at {told}."
    if names[file.name] != content_name(file.read_bytes(), len(names[file.name])):
        return f"{shown(file)} had another text at {told}."
    return None


def _what(record: Seen) -> str:
    return "a record" if record.counts else "another seed, budget or trial of what counts"
