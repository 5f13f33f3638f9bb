"""What files held at a commit by which records were measured, as git knows it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from attnbench.store.probe import result_of


def content_name(content: bytes, digits: int) -> str:
    """The name that git gives to a file's content: SHA-256 where names have 64 digits, else SHA-1."""
    kind = hashlib.sha256 if digits == 64 else hashlib.sha1
    return kind(b"blob %d\0" % len(content) + content).hexdigest()


@cache
def content_names(folder: Path, commit: str) -> tuple[Mapping[str, str] | None, str]:
    """The files of a folder at a commit with the names of their contents; None, and what git said, where it does not know.

    One call of git for each commit and folder: thousands of records come from a few commits.
    """
    command = ["git", "--no-optional-locks", "-C", str(folder), "-c", "core.quotePath=off", "ls-tree", commit]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | {"LC_ALL": "C"}
    succeeded, printed = result_of(command, environment=environment)
    if succeeded:
        entries = [entry.partition("\t") for entry in printed.splitlines()]
        return {name: head.split()[2] for head, _, name in entries}, ""
    if succeeded is None:
        return None, "git is not installed, or gives no answer"
    complaint = " ".join(result_of(command, environment=environment, errors=True)[1].split())[:200].rstrip(".")
    return None, complaint or "git failed without a word"
