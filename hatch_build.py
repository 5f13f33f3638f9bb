"""Writes the commit that a wheel was built from, and whether its tree was dirty, into the wheel."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAME = "_built_from.json"


class CommitHook(BuildHookInterface):
    """Adds attnbench/_built_from.json to wheels and source archives; an editable install asks git instead."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        root = Path(self.root)
        shipped = root / "suite" / "attnbench" / NAME
        if shipped.is_file():  # built from a source archive, which brought it along
            return
        written = Path(self.directory) / NAME
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(json.dumps(_commit(root)), encoding="utf-8")
        target = f"attnbench/{NAME}" if self.target_name == "wheel" else f"suite/attnbench/{NAME}"
        build_data["force_include"][str(written)] = target


def _commit(root: Path) -> dict[str, object]:
    def git(*arguments: str) -> str | None:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, encoding="utf-8", errors="replace", check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    changed = git("status", "--porcelain", "--untracked-files=all", "--", "suite", "benchmarks")
    return {"commit": git("rev-parse", "HEAD"), "dirty": None if changed is None else bool(changed)}
