"""A real git repository with what a claim's rule is made of, so that tests can change one of these files and commit it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

RULE = "BOUND = 10.0\n"
FILES = {
    "claim.py": "AGREE = 1\n",
    "claims/_judge.py": "from attnbench.claims._history import WHY\nSEEDS = 3\n",
    "claims/_history.py": "WHY = 1\n",
    "claims/mine.py": RULE,
    "spec/budgets.py": "CHOSEN = {}\n",
    "stats/__init__.py": "from attnbench.stats.margins import behind as behind\nfrom attnbench.stats.ranks import ranks as ranks\n",
    "stats/levels.py": "LEVEL = 0.05\n",
    "stats/margins.py": "from attnbench.stats.levels import LEVEL\nbehind = LEVEL\n",
    "stats/ranks.py": "ranks = 1\n",
}


def git(folder: Path, *arguments: str) -> str:
    given = ["-c", "user.name=n", "-c", "user.email=e@e", "-c", "commit.gpgsign=false", "-c", "core.autocrlf=false"]
    return subprocess.run(["git", "-C", str(folder), *given, *arguments], check=True, capture_output=True, text=True).stdout.strip()


class RuleRepository:
    """A repository whose folder `package` stands for that of attnbench; its claim is `mine`."""

    def __init__(self, folder: Path) -> None:
        git(folder, "init", "-q")
        self.package = folder / "attnbench"
        for name in ("claims", "spec", "stats"):
            (self.package / name).mkdir(parents=True)

    @property
    def mine(self) -> Path:
        return self.package / "claims" / "mine.py"

    def commit(self, files: Mapping[str, str] = {}) -> str:
        """Commit the package's files of some names with these texts, or nothing; gives the commit's name."""
        for name, text in files.items():
            (self.package / name).write_text(text, encoding="utf-8")
        if files:
            git(self.package, "add", *files)
        git(self.package, "commit", "--allow-empty", "-qm", "more")
        return git(self.package, "rev-parse", "HEAD")
