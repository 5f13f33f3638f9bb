"""What the two names of a comparison stand for: variants, machines or commits."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Literal

from attnbench.analysis.labels import Labels
from attnbench.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["variant", "machine", "commit"]
SHORTEST = 4  # hex digits that may stand for a commit
LISTED = 8  # names of a kind in an error


def resolved(table: pd.DataFrame, labels: Labels, a: str, b: str) -> tuple[Kind, str, str]:
    """The kind of two names, and what they are in full.

    table: of attnbench.load; labels: of all of it. Raises BadInput for names that are not in it, of two kinds, or the same.
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
    """The recorded commit that a name stands for, if just one does."""
    found = [commit for commit in sorted(known) if commit.startswith(name.lower()) and len(name) >= SHORTEST]
    if not found:
        try:
            done = subprocess.run(
                ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"],
                capture_output=True,
                text=True,
                timeout=10,
            )
        except (OSError, subprocess.TimeoutExpired):  # no git: then there are no names but what was recorded
            return None
        found = [commit for commit in known if commit == done.stdout.strip()]
    if len(found) > 1:
        raise BadInput(f"{name!r} may be any of the commits {', '.join(commit[:12] for commit in found)}; give more digits")
    return found[0] if found else None
