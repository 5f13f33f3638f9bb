"""Our clock agrees with torch's."""

from __future__ import annotations

import subprocess
import sys

from helpers.command import LONGEST_S
from helpers.paths import REPO

PROGRAM = REPO / "tools" / "agreement.py"


def test_the_median_of_softmax_is_within_a_tenth_of_that_of_torchs_timer() -> None:
    """At seq_len 1,024. A noisy machine is given three tries; each takes the median over rounds in which both take turns."""
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, str(PROGRAM), "--seq-len", "1024"], capture_output=True, text=True, check=False, timeout=LONGEST_S
        )
        assert "1,024  Timer.blocked_autorange" in done.stdout, done.stderr
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stdout
