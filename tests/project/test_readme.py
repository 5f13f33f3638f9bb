"""The README's Python runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from helpers.paths import REPO

README = (REPO / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)


def test_there_is_python_in_the_readme() -> None:
    assert BLOCKS


@pytest.mark.long
@pytest.mark.parametrize("code", BLOCKS)
def test_its_python_runs(code: str) -> None:
    """On the records that ship with the repository, as a new user would type it."""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
