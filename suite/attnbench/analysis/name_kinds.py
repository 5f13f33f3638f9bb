"""Finds out whether the two names of a comparison are variants, machines or commits."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Literal

from attnbench.analysis.labels import Labels
from attnbench.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["variant", "machine", "commit"]
SHORTEST = 4  # least number of hex digits that identify a commit
LISTED = 8  # most names of a kind that an error message lists


def resolved(table: pd.DataFrame, labels: Labels, a: str, b: str) -> tuple[Kind, str, str]:
    """The kind of two names, and both names in full.

    table: from attnbench.load; labels: those of the whole table. Raises BadInput for names that are not in it, of two kinds, or the same.
    """
    known: dict[Kind, set[str]] = {
        "variant": {labels.label(name, params) for name, params in zip(table["variant"], table["params"], strict=True)},
        "machine": set(table["machine"].dropna().unique()),
        "commit": set(table["attnbench_commit"].dropna().unique()),
    }
    kinds: tuple[Kind, ...] = ("variant", "machine")
    for kind in kinds:
        if {a, b} <= known[kind]:
            return kind, *_distinct(a, b)
    full = [_commit(name, known["commit"]) for name in (a, b)]
    if full[0] and full[1]:
        return "commit", *_distinct(full[0], full[1])
    strange = [name for name, commit in zip((a, b), full, strict=True) if not commit and name not in known["variant"] | known["machine"]]
    if not strange:
        raise BadInput(f"{a!r} and {b!r} are not of one kind; give two variants, two machines or two commits")
    held = "; ".join(f"{kind}s: {_listed(names, 12 if kind == 'commit' else None)}" for kind, names in known.items())
    raise BadInput(f"the results hold nothing of {' or of '.join(map(repr, strange))}; they have {held}")


def _listed(names: set[str], digits: int | None) -> str:
    shown = [name[:digits] for name in sorted(names)[:LISTED]]
    return ", ".join(shown) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def _distinct(a: str, b: str) -> tuple[str, str]:
    if a == b:
        raise BadInput(f"both are {a!r}; give two that differ")
    return a, b


def _commit(name: str, known: set[str]) -> str | None:
    """The recorded commit that a name stands for; None if there is none. Raises BadInput if several begin with the name."""
    found = [commit for commit in sorted(known) if commit.startswith(name.lower()) and len(name) >= SHORTEST]
    if not found:
        try:
            done = subprocess.run(
                ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"],
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=10,
            )
        except (OSError, ValueError, subprocess.TimeoutExpired):  # without git, or for what no command line holds, only recorded ones
            return None
        found = [commit for commit in known if commit == done.stdout.strip()]
    if len(found) > 1:
        raise BadInput(f"{name!r} may be any of the commits {', '.join(commit[:12] for commit in found)}; give more digits")
    return found[0] if found else None
