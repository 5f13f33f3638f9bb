"""What people should know before a command begins, once, on stderr: plug-ins that are left out, and why records will name no commit."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from attnbench import registry
from attnbench.store.commit import why_no_commit
from attnbench.store.environment import shared_name


def tell_of_plugins(groups: Iterable[str]) -> None:
    """Print a line for each plug-in of these groups that is left out or cannot be used."""
    for group in groups:
        for problem in registry.problems(group):
            print(f"warning: {problem}", file=sys.stderr, flush=True)


def tell_of_no_commit() -> None:
    """Print why the commit of the code is not known, if it is not."""
    why = why_no_commit()
    if why is not None:
        print(f"warning: {why}; records will name no commit", file=sys.stderr, flush=True)


def tell_of_shared_name() -> None:
    """Print that other computers may have this machine's name, if so."""
    why = shared_name()
    if why is not None:
        print(f"warning: {why}", file=sys.stderr, flush=True)
