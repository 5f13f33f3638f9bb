"""What the program about disturbing neighbours says and when, and that it runs."""

from __future__ import annotations

import runpy
import subprocess
import sys

import pytest

from helpers.command import LONGEST_S
from helpers.paths import REPO

PROGRAM = REPO / "tools" / "disturbance.py"


@pytest.mark.parametrize(("change", "holds"), [(1.0, True), (1.019, True), (0.981, True), (1.021, False), (0.97, False)])
def test_two_percent_either_way_is_no_disturbance(change: float, holds: bool) -> None:
    """By the median of the pairs, which one wild pair does not move."""
    row = runpy.run_path(str(PROGRAM))["Row"]("softmax", (change, change, 50.0), (1.3, 1.3, 1.3))
    assert row.holds == holds
    assert ("NOT MET" in str(row)) != holds
    assert "1.300" in str(row)


@pytest.mark.alone
@pytest.mark.long
def test_every_mode_of_a_mechanism_is_tried_beside_both_neighbours() -> None:
    options = ["--seq-len", "32", "--pairs", "1", "--variant", "softmax"]
    done = subprocess.run([sys.executable, str(PROGRAM), *options], capture_output=True, text=True, check=False, timeout=LONGEST_S)
    rows = [line for line in done.stdout.splitlines() if line.startswith("softmax, ")]
    assert [row.split(", ")[1] for row in rows] == ["forward", "training", "decode"], done.stderr
    anchors = [line.split(", ")[0] for line in done.stdout.splitlines() if line.startswith(("anchor, ", "drift anchor, "))]
    assert anchors == 3 * ["anchor", "drift anchor"], done.stderr
    assert done.returncode == int(any("NOT MET" in row for row in rows)), done.stderr
