"""Which rows of a table are of another session or commit than most of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attnbench.analysis.entries import Entry

COMMIT_DIGITS = 8


def apart(entries: Sequence[Entry]) -> list[str | None]:
    """For each mechanism of a setting, "of session X", "of commit Y" or both, where none of its records is of that which most rows are of.

    Among equals the session whose name sorts last counts, and of its commits likewise.
    """
    session = _commonest([entry.sessions for entry in entries])
    commit = _commonest([[c for c, s in zip(entry.commits, entry.sessions, strict=True) if c and s == session] for entry in entries])
    found: list[str | None] = []
    for entry in entries:
        told = [] if session in entry.sessions else [f"session {', '.join(sorted(set(entry.sessions)))}"]
        commits = {each for each in entry.commits if each}
        if commit and commits and commit not in commits:
            told.append(f"commit {', '.join(sorted(each[:COMMIT_DIGITS] for each in commits))}")
        found.append(f"of {', '.join(told)}" if told else None)
    return found


def _commonest(names: Iterable[Sequence[str]]) -> str:
    """The name that most have among theirs; "" where none has any."""
    counts: dict[str, int] = {}
    for own in names:
        for name in dict.fromkeys(own):
            counts[name] = counts.get(name, 0) + 1
    return max(counts, key=lambda name: (counts[name], name), default="")
