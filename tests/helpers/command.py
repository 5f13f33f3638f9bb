"""The command line, run as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def cli(*arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """`attnbench ARGUMENTS` in a process of its own, 160 columns wide."""
    environment = {**os.environ, "COLUMNS": "160", **variables}
    command = [sys.executable, "-m", "attnbench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment, timeout=300)
