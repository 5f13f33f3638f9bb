"""Which rows of a table are of another session or commit than most of it, wholly or in some of their processes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attnbench.analysis.entries import Entry

COMMIT_DIGITS = 8


def apart(entries: Sequence[Entry]) -> list[str | None]:
    """For each mechanism of a setting, what of it is not of the session and commit that most rows are of; None where all of it is.

    "of session X", "of commit Y" or both, of a row that is elsewhere as a whole; "1 of 3 processes of session X, commit Y" where some of
    its processes are. Among equals the session whose name sorts last counts, and of its commits likewise.
    """
    session = _commonest([entry.sessions for entry in entries])
    commit = _commonest([[c for c, s in zip(entry.commits, entry.sessions, strict=True) if c and s == session] for entry in entries])
    return [_told(entry, session, commit) for entry in entries]


def _told(entry: Entry, session: str, commit: str) -> str | None:
    """What of a mechanism is not of a session and a commit, in words."""
    strangers, sessions, commits = 0, set[str](), set[str]()
    for own_session, own_commit in zip(entry.sessions, entry.commits, strict=True):
        other_session, other_commit = own_session != session, bool(commit and own_commit and own_commit != commit)
        strangers += other_session or other_commit
        sessions |= {own_session} if other_session else set()
        commits |= {own_commit[:COMMIT_DIGITS]} if other_commit and own_commit else set()
    if not strangers:
        return None
    told = [f"{name} {', '.join(sorted(of))}" for name, of in (("session", sessions), ("commit", commits)) if of]
    some = "" if strangers == len(entry.sessions) else f"{strangers} of {len(entry.sessions)} processes "
    return f"{some}of {', '.join(told)}"


def _commonest(names: Iterable[Sequence[str]]) -> str:
    """The name that most have among theirs; "" where none has any."""
    counts: dict[str, int] = {}
    for own in names:
        for name in dict.fromkeys(own):
            counts[name] = counts.get(name, 0) + 1
    return max(counts, key=lambda name: (counts[name], name), default="")
