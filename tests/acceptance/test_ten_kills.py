"""A run that is killed ten times leaves nothing running, keeps what it measured, and goes on."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from helpers.killed_runs import Phase, kill_and_resume

pytestmark = pytest.mark.long
PHASES: dict[Phase, int] = {"starting": 5, "first cell": 3, "later cell": 2}


def test_kill_9_at_ten_random_moments_leaves_nothing_running_and_loses_no_finished_cell(results: Path) -> None:
    draw = random.Random(4)
    kill_and_resume(results, draw.sample(list(PHASES), sum(PHASES.values()), counts=PHASES.values()), draw)
