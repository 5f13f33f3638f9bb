"""The program that holds our clock against torch's says what it found, and ends by it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from helpers.command import LONGEST_S
from helpers.paths import REPO

pytestmark = pytest.mark.long
PROGRAM = REPO / "tools" / "agreement.py"


def test_the_program_says_whether_our_clock_agrees_with_torchs_timer() -> None:
    """Whether it does is for a quiet machine to say, and not for a test."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--seq-len", "128"], capture_output=True, text=True, check=False, timeout=LONGEST_S
    )
    (row,) = (line for line in done.stdout.splitlines() if "Timer.blocked_autorange" in line)
    assert row.split()[0] == "128", done.stderr
    assert done.returncode == int("NOT MET" in row), done.stderr
